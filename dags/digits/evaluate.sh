#!/bin/sh
# The evaluation starts as the training does; see startup.sh for the reasons.
export SCRIPT=evaluate.py
exec "$(dirname "$0")/startup.sh" "$@"
