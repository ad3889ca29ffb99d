#!/bin/sh
# Run:ai starts this at the first start and after every preemption; it must work for both.
set -eu
here=$(dirname "$0")

# The node's disk is empty after a preemption, so requirements may be missing again. Check first:
# an image that has them starts at once and needs no network.
if ! python -c 'import sys; from importlib.util import find_spec as f
sys.exit(not all(map(f, ("numpy", "sklearn", "safetensors"))))'; then
    python -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
fi

# exec: Python takes this shell's place. Otherwise the shell would keep SIGTERM for itself, and the
# training would be killed before it can save. "$@" passes on each argument as it was given.
exec python "$here/${SCRIPT:-train.py}" "$@"
