"""
What costs a preemption in start-up scripts: found in the first table, never imagined in the second.

Scripts are judged by ``lint`` alone here; what a real shell does with them is in
``test_lint_referee.py``.
"""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.core.command_line import parse_command
from airflow_runai.core.lint import Script, Subject, lint

SHARED = {"pvc": [{"claim": "shared", "path": "/shared"}]}
SPEC = {
    "image": "a/b:1",
    "command": "./startup.sh",
    "args": "x",
    "storage": SHARED,
    "working_dir": "/shared",
}
GRAVE = ("error", "warning")


def found(text: str, spec: dict[str, Any] | None = None, **script: Any) -> dict[str, int]:
    """
    Codes of grave findings about the script, with their lines; of others the ones on packages.
    """
    findings = lint(Subject(spec=spec, script=Script("startup.sh", text, **script)))
    mine = [one for one in findings if one.where.startswith("startup.sh")]
    told = [one for one in mine if one.severity in GRAVE or one.code == "script-installs-unpinned"]
    return {one.code: int(one.where.rpartition(":")[2]) for one in reversed(told)}


def sh(*lines: str, shell: str = "bash") -> str:
    return "\n".join([f"#!/bin/{shell}", *lines]) + "\n"


NO_EXEC, LEAVES, HIDES = "script-no-exec", "script-leaves-early", "script-hides-failure"
SUCCEEDS, SWALLOWS, ENDLESS = (
    "script-trap-succeeds",
    "script-launcher-swallows-sigterm",
    "script-never-ends",
)
DELETES, FRESH, AT_END = "script-deletes-checkpoints", "script-fresh-folder", "script-saves-at-end"
UNPINNED, LOST, WAITS = (
    "script-installs-unpinned",
    "checkpoint-path-not-persistent",
    "script-trap-waits",
)
FORWARD = "trap 'kill -TERM $PID' TERM"
BACKGROUND = ('python train.py "$@" &', "PID=$!")

BAD: dict[str, tuple[str, set[str]]] = {
    # launchers
    "conda run": (sh('conda run -n env python train.py "$@"'), {NO_EXEC, SWALLOWS}),
    "exec conda run": (sh('exec conda run -n env python train.py "$@"'), {SWALLOWS}),
    "conda run, live": (sh('exec conda run --no-capture-output -n env python train.py "$@"'), {SWALLOWS}),
    "conda run by path": (sh('exec /opt/conda/bin/conda run -p /envs/a python t.py "$@"'), {SWALLOWS}),
    "conda run behind env": (sh('exec env A=1 conda run -n e python t.py "$@"'), {SWALLOWS}),
    "conda run behind nice": (sh('exec nice -n 5 conda run -n e python t.py "$@"'), {SWALLOWS}),
    "mamba run without exec": (sh('mamba run -n e python t.py "$@"'), {NO_EXEC}),
    "micromamba run without exec": (sh('micromamba run -n e python t.py "$@"'), {NO_EXEC}),
    "uv run without exec": (sh('uv run python t.py "$@"'), {NO_EXEC}),
    "pdm run": (sh('exec pdm run python t.py "$@"'), {SWALLOWS}),
    "accelerate launch": (sh('exec accelerate launch train.py "$@"'), {SWALLOWS}),
    "accelerate, one process": (sh('exec accelerate launch --num_processes 1 --multi_gpu t.py "$@"'), {SWALLOWS}),
    "accelerate as a module": (sh('exec python -m accelerate.commands.launch t.py "$@"'), {SWALLOWS}),
    "accelerate-launch": (sh('exec accelerate-launch --num_processes=1 t.py "$@"'), {SWALLOWS}),
    "deepspeed": (sh('exec deepspeed --num_gpus 2 train.py "$@"'), {SWALLOWS}),
    "xvfb-run": (sh('exec xvfb-run -a python train.py "$@"'), {SWALLOWS}),
    "conda run behind a trap": (
        sh("trap 'kill -TERM $PID; wait $PID' TERM", 'conda run -n e python t.py "$@" &', "PID=$!", "wait $PID"),
        {SWALLOWS},
    ),
    "conda run in a group": (  # conda dies at once, and the shell waits for nobody else
        sh("trap 'trap \"\" TERM; kill 0; wait' TERM", 'conda run -n e python t.py "$@" &', "PID=$!", 'wait "$PID"'),
        {SWALLOWS},
    ),
    # a shell that stays
    "exec sh -c, something after": (
        sh('exec sh -c "python train.py; echo done"'), {NO_EXEC, HIDES, "script-drops-arguments"}),
    "exec bash -c, into tee": (sh("exec bash -c 'python train.py \"$@\" | tee log' -- \"$@\""), {NO_EXEC, HIDES}),
    "exec bash -c, and then": (sh("exec bash -c 'python train.py \"$@\" && echo ok' -- \"$@\""), {NO_EXEC}),
    "exec bash -c, a loop": (sh("exec bash -c 'for i in 1 2; do python t.py \"$@\"; done' -- \"$@\""), {NO_EXEC}),
    "eval": (sh('eval "python train.py $*"'), {NO_EXEC}),
    "eval, something after": (sh('eval "python train.py $*"', "echo done"), {NO_EXEC, HIDES}),
    "behind conda's hook": (sh('eval "$(conda shell.bash hook)"', "conda activate x", 'python t.py "$@"'), {NO_EXEC}),
    "behind an activation": (sh("source /opt/venv/bin/activate", 'python t.py "$@"'), {NO_EXEC}),
    "behind conda.sh": (sh(". /opt/conda/etc/profile.d/conda.sh", "conda activate x", 'python t.py "$@"'), {NO_EXEC}),
    # set -e and two waits
    "set -e, two waits": (sh("set -e", FORWARD, *BACKGROUND, "wait $PID", "wait $PID"), {LEAVES}),
    "set -euo pipefail, two waits": (sh("set -euo pipefail", FORWARD, *BACKGROUND, "wait $PID", "wait $PID"), {LEAVES}),
    "set -o errexit, two waits": (sh("set -o errexit", FORWARD, *BACKGROUND, "wait $PID", "wait $PID"), {LEAVES}),
    "errexit by shebang": ("#!/bin/bash -e\n" + sh(FORWARD, *BACKGROUND, "wait $PID", "wait $PID")[12:], {LEAVES}),
    "set -e, three commands": (
        sh("set -e", FORWARD, *BACKGROUND, "wait $PID", "trap - TERM", "wait $PID", "exit $?"), {LEAVES}),
    "set -e, a function as trap": (
        sh("set -e", "stop() {", "  kill -TERM $PID", "}", "trap stop TERM INT", *BACKGROUND, "wait $PID", "wait $PID"),
        {LEAVES}),
    # success at the wrong moment
    "exit 0 in the trap": (sh("trap 'kill $PID; wait $PID; exit 0' TERM", *BACKGROUND, "wait $PID"), {SUCCEEDS}),
    "exit 0 at once": (sh("trap 'exit 0' TERM", *BACKGROUND, "wait $PID"), {SUCCEEDS, NO_EXEC}),
    "exit 0 in double quotes": (sh('trap "exit 0" SIGTERM', *BACKGROUND, "wait $PID"), {SUCCEEDS, NO_EXEC}),
    "exit 0 in a function": (
        sh("stop() {", "  kill $PID", "  wait $PID", "  exit 0", "}", "trap stop TERM", *BACKGROUND, "wait $PID"),
        {SUCCEEDS}),
    "exit 0 whatever happens": (
        sh("trap 'rm -f /tmp/lock; exit 0' EXIT", "set -e", 'python t.py "$@"'), {SUCCEEDS, NO_EXEC}),
    "exit 0 behind the wait": (sh("trap 'kill $PID; wait $PID' TERM", *BACKGROUND, "wait $PID", "exit 0"), {HIDES}),
    "echo behind the wait": (sh("trap 'kill $PID; wait $PID' TERM", *BACKGROUND, "wait $PID", "echo done"), {HIDES}),
    "wait forgiven": (sh("trap 'kill $PID; wait $PID' TERM", *BACKGROUND, "wait $PID || true"), {HIDES}),
    # what never ends
    "nohup and tail -f": (sh('nohup python train.py "$@" > log 2>&1 &', "tail -f log"), {ENDLESS, NO_EXEC}),
    "tail -F": (sh('python train.py "$@" > log &', "tail -n 100 -F log"), {ENDLESS, NO_EXEC}),
    "tail --follow": (sh('python train.py "$@" > log &', "exec tail --follow log"), {ENDLESS, NO_EXEC}),
    "sleep for ever": (sh('python train.py "$@"', "sleep infinity"), {ENDLESS, NO_EXEC}),
    "sleep for days": (sh('python train.py "$@"', "sleep 365d"), {ENDLESS, NO_EXEC}),
    "tail -f /dev/null": (sh('python train.py "$@"', "tail -f /dev/null"), {ENDLESS, NO_EXEC}),
    "only if it fails": (sh('python train.py "$@" || sleep infinity'), {ENDLESS, NO_EXEC}),
    "only if it succeeds": (sh('python train.py "$@" && tail -f /dev/null'), {ENDLESS, NO_EXEC}),
    "again and again": (sh('while true; do python train.py "$@"; sleep 5; done'), {ENDLESS, NO_EXEC}),
    "again and again, with a colon": (sh("while :", "do", '  python train.py "$@"', "done"), {ENDLESS, NO_EXEC}),
    "for ever": (sh('for ((;;)); do python train.py "$@"; done'), {ENDLESS, NO_EXEC}),
    "until never": (sh('until false; do python train.py "$@"; done'), {ENDLESS, NO_EXEC}),
    "looking on for ever": (sh(*BACKGROUND, "while true; do nvidia-smi; sleep 60; done"), {ENDLESS, NO_EXEC}),
    "a board at the end": (sh('python train.py "$@"', "tensorboard --logdir /shared/logs"), {ENDLESS, NO_EXEC}),
    "wait for a board, too": (
        sh("tensorboard --logdir /shared/logs &", 'python t.py "$@" &', "wait"), {ENDLESS, HIDES, NO_EXEC}),
    "wait for a watcher, too": (
        sh("while true; do nvidia-smi; sleep 9; done &", 'python t.py "$@" &', "wait"), {ENDLESS, HIDES, NO_EXEC}),
    # failures
    "exit 0 if it fails": (sh('python t.py "$@" || exit 0'), {HIDES, NO_EXEC}),
    "its code is only printed": (sh('python t.py "$@"', 'echo "ended with $?"'), {HIDES, NO_EXEC}),
    "eval into tee": (sh('eval "python t.py $* | tee log"'), {HIDES, NO_EXEC}),
    "bash -c, something after": (sh("bash -c 'python t.py \"$@\"; echo done' -- \"$@\""), {HIDES, NO_EXEC}),
    # progress
    "rm -rf of the variable": (sh('rm -rf "$CHECKPOINTS"', 'exec python train.py "$@"'), {DELETES}),
    "rm -rf of what is in it": (sh('rm -rf "${CKPT_DIR}"/*', 'exec python train.py "$@"'), {DELETES}),
    "rm -rf with a guard": (sh('rm -rf "${CHECKPOINTS:?}"/*', 'exec python train.py "$@"'), {DELETES}),
    "rm -rf and mkdir": (sh('rm -rf "$CHECKPOINTS" && mkdir -p "$CHECKPOINTS"', 'exec python t.py "$@"'), {DELETES}),
    "rm -r of the path": (sh("rm -r /shared/checkpoints/", 'exec python t.py "$@"'), {DELETES}),
    "rm -rf of what is given": (sh("rm -rf /shared/run", 'exec python t.py --ckpt-dir /shared/run/a "$@"'), {DELETES}),
    "rm -fr by a variable": (
        sh("OUT=/shared/run", 'rm -fr "$OUT"', 'exec python t.py --checkpoint-dir "$OUT/ckpt" "$@"'), {DELETES}),
    "find -delete": (sh('find "$CHECKPOINTS" -type f -delete', 'exec python t.py "$@"'), {DELETES}),
    "a time in the variable": (sh("CKPT=/shared/ckpt/$(date +%s)", 'exec python t.py --dir "$CKPT" "$@"'), {FRESH}),
    "a time in quotes": (sh('export CHECKPOINTS="/shared/ckpt/$(date "+%F %T")"', 'exec python t.py "$@"'), {FRESH}),
    "a time by a variable": (
        sh("STAMP=$(date +%Y%m%d)", "CKPT_DIR=/shared/$STAMP", 'exec python t.py --d "$CKPT_DIR" "$@"'), {FRESH}),
    "a time in the argument": (sh('exec python t.py --ckpt-dir "/shared/$(date +%s)" "$@"'), {FRESH}),
    "a time in the argument's value": (sh('exec python t.py --checkpoint-dir=/shared/`date +%s` "$@"'), {FRESH}),
    "a random number": (sh("CKPT=/shared/ckpt-$RANDOM", 'exec python t.py --d "$CKPT" "$@"'), {FRESH}),
    "a process id": (sh("CKPT=/shared/ckpt-$$", 'exec python t.py --d "$CKPT" "$@"'), {FRESH}),
    "a random id": (sh("CKPT=/shared/$(uuidgen)", 'exec python t.py --d "$CKPT" "$@"'), {FRESH}),
    "a temporary folder": (sh("CKPT=$(mktemp -d /shared/XXXX)", 'exec python t.py --d "$CKPT" "$@"'), {FRESH}),
    "a time in the results": (
        sh('exec python t.py --output_dir "/shared/runs/$(date +%s)" "$@"'), {FRESH}),
    "copied at the end": (
        sh("set -e", 'python t.py --output_dir /tmp/out "$@"', "cp -r /tmp/out /shared"), {AT_END, NO_EXEC}),
    "moved at the end": (sh('python t.py --out /tmp/out "$@" && mv /tmp/out/* /shared/'), {AT_END, NO_EXEC}),
    "synced at the end": (
        sh("set -e", "OUT=/tmp/run", 'python t.py --save-dir="$OUT" "$@"', 'rsync -a "$OUT/" /shared/run/'),
        {AT_END, NO_EXEC}),
    "to the cloud at the end": (
        sh("set -e", 'python t.py --output_dir /tmp/out "$@"', "aws s3 cp --recursive /tmp/out s3://b/out"),
        {AT_END, NO_EXEC}),
    "packed at the end": (
        sh("set -e", 'python t.py --output_dir /tmp/out "$@"', "tar czf /shared/out.tgz /tmp/out"), {AT_END, NO_EXEC}),
    "rm of all weights": (sh('rm -f "$CHECKPOINTS"/*.pt', 'exec python t.py "$@"'), {DELETES}),
    "rm of all of them": (sh("rm -rf /shared/run/checkpoint-*", 'exec python t.py "$@"'), {DELETES}),
    "rm of all steps": (sh('rm -rf "$CHECKPOINTS"/step-*', 'exec python t.py "$@"'), {DELETES}),
    "cd and rm": (sh('cd "$CHECKPOINTS" && rm -rf *', 'exec python t.py "$@"'), {DELETES}),
    # packages
    "newest torch": (sh("pip install -U torch", 'exec python t.py "$@"'), {UNPINNED}),
    "a lower bound": (sh("pip install 'torch>=2.0' numpy==1.26.4", 'exec python t.py "$@"'), {UNPINNED}),
    "python -m pip": (sh("python3 -m pip install -q wandb", 'exec python t.py "$@"'), {UNPINNED}),
    "uv pip": (sh("uv pip install --system wandb", 'exec python t.py "$@"'), {UNPINNED}),
    "conda install": (sh("conda install -y -c conda-forge faiss-gpu", 'exec python t.py "$@"'), {UNPINNED}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "codes"), BAD.values(), ids=BAD)
def test_it_is_found(text: str, codes: set[str]) -> None:
    assert set(found(text)) == codes


GUARDED = 'if [ -n "$FRESH" ]; then rm -rf "$CHECKPOINTS"; fi'
GOOD: dict[str, str] = {
    # launchers that put the program in their place, or pass signals on
    "poetry run": sh('exec poetry run python t.py "$@"'),
    "uv run": sh('exec uv run python t.py "$@"'),
    "torchrun": sh('exec torchrun --nproc_per_node 8 t.py "$@"'),
    "torch.distributed.run": sh('exec python -m torch.distributed.run --nproc_per_node 8 t.py "$@"'),
    "mpirun": sh('exec mpirun -np 4 python t.py "$@"'),
    "accelerate, several processes": sh('exec accelerate launch --num_processes 8 t.py "$@"'),
    "accelerate, several GPUs": sh('exec accelerate launch --multi_gpu t.py "$@"'),
    "accelerate, by a file": sh('exec accelerate launch --config_file /shared/a.yaml t.py "$@"'),
    "accelerate, an open number": sh('exec accelerate launch --num_processes "$N" t.py "$@"'),
    "accelerate config": sh("accelerate config default", 'exec python t.py "$@"'),
    "timeout": sh('exec timeout -k 10 86400 python t.py "$@"'),
    "conda activate": sh('eval "$(conda shell.bash hook)"', "conda activate x", 'exec python t.py "$@"'),
    "conda run prepares": sh("conda run -n e pip install -r requirements.txt", 'exec /envs/e/bin/python t.py "$@"'),
    "deepspeed as a library": sh('exec torchrun t.py --deepspeed ds.json "$@"'),
    "ds_report": sh("ds_report", "command -v deepspeed", 'exec python t.py "$@"'),
    # shells that stay out of the way
    "exec sh -c with exec": sh("exec sh -c 'cd /shared && exec python t.py \"$@\"' -- \"$@\""),
    "exec bash -c, the training last": sh("exec bash -c 'echo go; python t.py \"$@\"' -- \"$@\""),
    "eval with exec": sh('eval "exec python t.py $*"'),
    "eval of what is not known": sh('eval "$COMMAND"'),
    "eval of a variable first": sh('eval "$PREFIX python t.py $*"'),
    "source of what is not known": sh("source ./lib.sh", "run_training"),
    # waits
    "set -e, the first wait is guarded": sh(
        "set -e", FORWARD, *BACKGROUND, "wait $PID || true", "rc=0", "wait $PID || rc=$?", "exit $rc"
    ),
    "set -e, switched off": sh("set -e", FORWARD, *BACKGROUND, "set +e", "wait $PID", "wait $PID"),
    "set -e, the trap waits": sh("set -e", "trap 'kill -TERM $PID; wait $PID' TERM", *BACKGROUND, "wait $PID"),
    "set -u, two waits": sh("set -u", FORWARD, *BACKGROUND, "wait $PID", "wait $PID"),
    "wait in a loop": sh("set -e", FORWARD, *BACKGROUND, "rc=0",
        "while kill -0 $PID 2>/dev/null; do wait $PID && rc=0 || rc=$?; done", "exit $rc",
    ),
    "wait in a condition": sh("set -e", FORWARD, *BACKGROUND, "if ! wait $PID; then wait $PID; fi"),
    "exit code kept behind the wait": sh(
        "trap 'kill $PID; wait $PID' TERM", *BACKGROUND, "wait $PID", "rc=$?", "echo $rc", "exit $rc"
    ),
    "and behind the wait": sh("trap 'kill $PID; wait $PID' TERM", *BACKGROUND, "wait $PID && echo done"),
    "a report behind the wait": sh(
        "set -e", *BACKGROUND, "trap 'kill -TERM $PID; wait $PID; exit $?' TERM", "wait $PID", "python report.py"
    ),
    # traps
    "exit 143 in the trap": sh("trap 'kill $PID; wait $PID; exit 143' TERM", *BACKGROUND, "wait $PID"),
    "the training's code in the trap": sh("trap 'kill $PID; wait $PID; exit $?' TERM", *BACKGROUND, "wait $PID"),
    "exit 0 before exec": sh("trap 'exit 0' TERM", "pip install -r requirements.txt", 'exec python t.py "$@"'),
    "exit 0 at INT": sh("trap 'exit 0' INT", 'exec python t.py "$@"'),
    "exit 0 in one case": sh(
        "stop() {", "  kill $PID; wait $PID", "  [ -f done ] && exit 0", "  exit 143", "}", "trap stop TERM",
        *BACKGROUND, "wait $PID",
    ),
    "cleanup at the end": sh("trap 'rm -rf /tmp/x' EXIT", "set -e", 'exec python t.py "$@"'),
    # loops and long commands that end
    "tail with --pid": sh(
        "trap 'kill -TERM $PID; wait $PID; exit 143' TERM", *BACKGROUND, "tail --pid=$PID -f log &", "wait $PID"
    ),
    "tail beside it": sh("trap 'kill -TERM $PID; wait $PID' TERM", *BACKGROUND, "tail -f log &", 'wait "$PID"'),
    "tail of the last lines": sh("tail -n 5 /shared/log", 'exec python t.py "$@"'),
    "sleep for a while": sh("sleep 1", 'exec python t.py "$@"'),
    "until the file is there": sh("until [ -f /shared/ready ]; do sleep 5; done", 'exec python t.py "$@"'),
    "while with a break": sh("while true; do [ -f /shared/ready ] && break; sleep 5; done", 'exec python t.py "$@"'),
    "while in the background": sh("while true; do nvidia-smi; sleep 60; done &", 'exec python t.py "$@"'),
    "sleep for debugging": sh('if [ -n "$DEBUG" ]; then sleep infinity; fi', 'exec python t.py "$@"'),
    "sleep for debugging, short": sh('[ -n "$DEBUG" ] && sleep infinity', 'exec python t.py "$@"'),
    "a notebook that ends": sh('exec jupyter nbconvert --to notebook --execute train.ipynb "$@"'),
    "board beside it": sh("tensorboard --logdir /shared/logs &", 'exec python t.py "$@"'),
    # progress
    "rm -rf where asked for": sh(GUARDED, 'exec python t.py "$@"'),
    "rm -rf where asked for, short": sh('[ "$FRESH" = 1 ] && rm -rf "$CHECKPOINTS"', 'exec python t.py "$@"'),
    "rm of unfinished ones": sh('rm -rf "$CHECKPOINTS"/.tmp-* "$CHECKPOINTS"/*.partial', 'exec python t.py "$@"'),
    "rm of a folder in it": sh('rm -rf "$CHECKPOINTS/tmp"', 'exec python t.py "$@"'),
    "rm of scratch": sh("rm -rf /tmp/checkpoints ./cache build", 'exec python t.py "$@"'),
    "rm of notebooks' copies": sh("rm -rf .ipynb_checkpoints", 'exec python t.py "$@"'),
    "rm of logs": sh('rm -rf "$LOG_DIR" /shared/logs', 'exec python t.py "$@"'),
    "rm of old ones by find": sh('find "$CHECKPOINTS" -mtime +30 -delete', 'exec python t.py "$@"'),
    "a file is removed": sh('rm -f "$CHECKPOINTS/lock"', 'exec python t.py "$@"'),
    "a time in the log": sh('LOG=/shared/$(date +%s).log', 'exec python t.py --ckpt-dir /shared/c "$@" > "$LOG" 2>&1'),
    "a time in the log's folder": sh('exec python t.py --logdir "/shared/tb/$(date +%s)" --ckpt-dir /shared/c "$@"'),
    "a time in the results beside a place": sh(
        'exec python t.py --output_dir "/shared/runs/$(date +%s)" --ckpt-dir /shared/ckpt "$@"'
    ),
    "a time that is printed": sh('echo "start: $(date)"', 'exec python t.py --ckpt-dir "$CHECKPOINTS" "$@"'),
    "a time as a default": sh('CKPT=${CKPT:-/shared/ckpt/$(date +%s)}', 'exec python t.py --d "$CKPT" "$@"'),
    "a time that is kept": sh(
        "[ -f /shared/id ] || date > /shared/id", "CKPT=/shared/$(cat /shared/id)", 'exec python t.py --d "$CKPT" "$@"'
    ),
    "the job's name": sh('CKPT=/shared/ckpt/$JOB_NAME', 'exec python t.py --ckpt-dir "$CKPT" "$@"'),
    "copied from the start": sh("cp -r /shared/data /tmp/data", 'exec python t.py --data /tmp/data "$@"'),
    "copied meanwhile": sh(
        "while true; do rsync -a /tmp/out/ /shared/out/; sleep 60; done &",
        "trap 'kill -TERM $PID; wait $PID; rsync -a /tmp/out/ /shared/out/; exit 143' TERM",
        'python t.py --output_dir /tmp/out "$@" &', "PID=$!", "wait $PID", "rc=$?",
        "rsync -a /tmp/out/ /shared/out/", "exit $rc",
    ),
    # packages
    "pinned": sh("pip install torch==2.3.1 'numpy==1.26.4' \"lightning[extra]==2.2\"", 'exec python t.py "$@"'),
    "pinned elsewhere": sh("pip install -r requirements.txt -c constraints.txt torch", 'exec python t.py "$@"'),
    "requirements": sh("pip install --no-cache-dir -r requirements.txt", 'exec python t.py "$@"'),
    "the code itself": sh("pip install -e . --no-deps", "pip install . /shared/wheels/a.whl", 'exec python t.py "$@"'),
    "pip itself": sh("pip install --upgrade pip setuptools wheel", 'exec python t.py "$@"'),
    "from a folder": sh("pip install --no-index --find-links /shared/wheels torch", 'exec python t.py "$@"'),
    "a variable": sh('pip install "$PACKAGES" torch==$TORCH', 'exec python t.py "$@"'),
    "a commit": sh("pip install git+https://github.com/a/b@0123abc 'x @ https://h/x.whl'", 'exec python t.py "$@"'),
    "conda, pinned": sh("conda install -y -n base pytorch=2.3 cudatoolkit=11", 'exec python t.py "$@"'),
    "apt": sh("apt-get update && apt-get install -y git", 'exec python t.py "$@"'),
}  # fmt: skip


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_nothing_is_imagined(text: str) -> None:
    assert found(text) == {}
    assert {code for code in found(text, SPEC) if not code.startswith("script-d")} == set()


# --- places of checkpoints in the script
# ----------------------------------------------------------------------------

HELD: dict[str, tuple[str, set[str]]] = {
    "an argument": (sh('exec python t.py --checkpoint-dir /tmp/ckpt "$@"'), {LOST}),
    "an argument with =": (sh('exec python t.py --ckpt_path=/ckpt "$@"'), {LOST}),
    "a hydra key": (sh('exec python t.py checkpoint.dirpath=/ckpt "$@"'), {LOST}),
    "a variable": (sh("CKPT_DIR=/ckpt", 'exec python t.py --d "$CKPT_DIR" "$@"'), {LOST}),
    "a variable of one program": (sh('CHECKPOINT_DIR=/ckpt exec python t.py "$@"'), {LOST}),
    "a variable by env": (sh('exec env CHECKPOINTS=/ckpt python t.py "$@"'), {LOST}),
    "an exported variable": (sh("export CHECKPOINTS=/ckpt", 'exec python t.py "$@"'), {LOST}),
    "a variable in an argument": (sh("ROOT=/root/run", 'exec python t.py --ckpt-dir "${ROOT}/ckpt" "$@"'), {LOST}),
    "without exec": (sh('python t.py --ckpt-dir /ckpt "$@"'), {LOST, NO_EXEC}),
    "on the claim": (sh('exec python t.py --checkpoint-dir /shared/ckpt "$@"'), set()),
    "on the claim, by a variable": (sh("R=/shared/run", 'exec python t.py --ckpt-dir "$R/c" "$@"'), set()),
    "not known": (sh('exec python t.py --checkpoint-dir "$CHECKPOINTS" "$@"'), set()),
    "a default": (sh('CKPT=${CKPT:-/tmp/ckpt}', 'exec python t.py --ckpt-dir "$CKPT" "$@"'), set()),
    "an object store": (sh('exec python t.py --checkpoint-dir s3://b/ckpt "$@"'), set()),
    "where to start from": (sh('exec python t.py --resume_from_checkpoint /models/base "$@"'), set()),
    "a file of weights": (sh('exec python t.py --ckpt /models/base.pt --checkpoint=/m/a.safetensors "$@"'), set()),
    "two branches": (
        sh('if [ "$D" ]; then CKPT=/tmp/c; else CKPT=/shared/c; fi', 'exec python t.py --ckpt-dir "$CKPT" "$@"'),
        set()),
    "if nobody said": (sh('[ -n "$CKPT" ] || CKPT=/tmp/c', 'exec python t.py --ckpt-dir "$CKPT" "$@"'), set()),
    "staged": (
        sh("CKPT=/tmp/ckpt", "rsync -a /shared/ckpt/ /tmp/ckpt/", 'exec python t.py --ckpt-dir "$CKPT" "$@"'), set()),
    "local and shared": (
        sh('exec python t.py --local-checkpoint-dir /tmp/c --checkpoint-dir /shared/c "$@"'), set()),
    "a number": (sh('exec python t.py --checkpoint-every 50 --ckpt last "$@"'), set()),
    "elsewhere after cd": (sh("cd /code", 'exec python t.py --ckpt-dir ckpt "$@"'), set()),
}  # fmt: skip


@pytest.mark.parametrize("environment", [{}, {"CHECKPOINTS": "/shared/ckpt"}])
@pytest.mark.parametrize(("text", "codes"), HELD.values(), ids=HELD)
def test_places_in_the_script_are_held_against_the_mounts(
    text: str, codes: set[str], environment: dict[str, str]
) -> None:
    assert set(found(text, {**SPEC, "environment": environment})) == codes


def test_places_in_the_script_are_judged_only_where_mounts_are_known() -> None:
    text = sh('exec python t.py --checkpoint-dir /tmp/ckpt "$@"')
    assert found(text) == {}
    assert found(text, {**SPEC, "storage": "{{ params.storage }}"}) == {}
    scratch = {**SPEC, "storage": {"empty_dir": [{"path": "/tmp"}]}}
    assert found(text, scratch) == {"checkpoint-path-scratch": 2}
    assert found(text, {**SPEC, "storage": {"pvc": [{"claim": "c", "path": "/tmp"}]}}) == {}


def test_relative_places_count_from_the_working_directory() -> None:
    text = sh('exec python t.py --ckpt-dir ckpt "$@"')
    assert found(text, {**SPEC, "working_dir": "/app"}) == {LOST: 2}
    assert found(text, SPEC) == {}


def test_what_is_gone_anyway_may_be_deleted() -> None:
    text = sh("rm -rf ./checkpoints", 'exec python t.py --ckpt-dir /shared/c "$@"')
    assert DELETES in found(text)
    assert found(text, SPEC) == {DELETES: 2}
    assert found(text, {**SPEC, "working_dir": "/app"}) == {}


def test_an_evaluation_may_delete_and_start_anew() -> None:
    text = sh('rm -rf "$CHECKPOINTS"', 'exec python t.py --ckpt-dir "/x/$(date)" "$@"')
    subject = Subject(spec=SPEC, script=Script("startup.sh", text), evaluates=True)
    assert not {DELETES, FRESH, LOST} & {one.code for one in lint(subject)}


# --- what is beside the script
# --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("torch\nnumpy==1.26\n", "torch"),
        ("torch>=2\n# numpy\nlightning~=2.1\n", "torch, lightning"),
        ("torch==2.*\n", "torch"),
        ("a\nb\nc\nd\n", "a, b, c …"),
        ("torch==2.3.1\nnumpy == 1.26.4 ; python_version > '3.9'\n", None),
        (
            "-e .\n-r other.txt\ngit+https://h/r@1\n--extra-index-url u\nx==1 --hash=sha256:0\n",
            None,
        ),
        ("", None),
    ],
)
def test_requirements_without_versions_are_named(text: str, names: str | None) -> None:
    script = sh('pip install -r "$(dirname "$0")/requirements.txt"', 'exec python t.py "$@"')
    findings = lint(
        Subject(script=Script("startup.sh", script, requirements={"requirements.txt": text}))
    )
    told = [one.message for one in findings if one.code == UNPINNED]
    assert [message.partition(":")[0] for message in told] == ([names] if names else [])


# --- without a script
# -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "heard"),
    [
        ({"command": "conda run -n e python t.py"}, False),
        ({"command": "accelerate launch t.py"}, False),
        ({"command": "accelerate launch t.py", "compute": {"gpu_devices": 1}}, False),
        ({"command": "accelerate launch t.py", "compute": {"gpu_devices": 4}}, True),
        ({"command": "deepspeed t.py"}, False),
        ({"command": "python t.py"}, True),
        ({"command": "{{ params.launcher }} run x"}, True),
        ({"command": "conda", "args": "run -n e python t.py"}, False),
        ({"args": "conda run"}, True),
    ],
)
def test_launchers_in_the_command_are_seen_too(spec: dict[str, Any], heard: bool) -> None:
    findings = lint(Subject(spec={"image": "a/b:1", **spec}))
    assert [one.where for one in findings if one.code == SWALLOWS] == (
        [] if heard else ["spec.command"]
    )


def test_the_launcher_of_an_mpi_job_hides_nothing() -> None:
    line = "runai submit-mpi a -i a/b:1 --processes 2 -g 1 -- mpirun python t.py"
    for words, code in (("", "no-checkpoint-path"), ("--ckpt-dir /ckpt", LOST)):
        spec = parse_command(f"{line} {words}").spec
        assert code in {one.code for one in lint(Subject(spec=spec))}
    kept = parse_command(f"{line} --ckpt-dir /s/c").spec | {
        "storage": {"pvc": [{"claim": "c", "path": "/s"}]}
    }
    assert not {"no-checkpoint-path", LOST} & {one.code for one in lint(Subject(spec=kept))}
    script = Script("startup.sh", sh("exec python t.py"))
    started = parse_command("runai submit-mpi a -i a/b:1 -g 1 -- ./startup.sh --lr 0.1").spec
    assert "script-drops-arguments" in {
        one.code for one in lint(Subject(spec=started, script=script))
    }


def test_messages_of_scripts_show_no_secret() -> None:
    hush = "hush-hush"
    text = sh(
        f"conda run -n e env TOKEN={hush} python t.py --key {hush}",
        f"rm -rf /x/{hush}",
        f"pip install a=={hush}",
    )
    assert hush not in str(lint(Subject(spec=SPEC, script=Script("startup.sh", text))))
