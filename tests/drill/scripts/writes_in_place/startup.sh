#!/bin/sh
exec python "$(dirname "$0")/training.py" "$@"
