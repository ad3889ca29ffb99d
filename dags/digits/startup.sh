#!/bin/sh
# What Run:ai starts, at the first start and after every preemption alike: it must not care which it is.
set -eu
here=$(dirname "$0")

# The node's disk is empty after a preemption, so requirements may be missing again. Ask first:
# an image that has them starts at once, and without a network.
if ! python -c 'import sys; from importlib.util import find_spec as f
sys.exit(not all(map(f, ("numpy", "sklearn", "safetensors"))))'; then
    python -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
fi

# exec: Python takes this shell's place. Otherwise the shell would get SIGTERM, keep it for itself,
# and the training would be killed without having saved. "$@": each argument as it was given.
exec python "$here/${SCRIPT:-train.py}" "$@"
