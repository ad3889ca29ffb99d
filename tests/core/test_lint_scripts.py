"""
Start-up scripts as they are found in the wild, and what is said about them.

What cannot be decided stays unsaid.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_runai.core.lint import Script, Subject, lint
from airflow_runai.core.lint.shell import read_script
from airflow_runai.core.lint.shell_tokens import arguments_in, tokens

DIGITS = Path(__file__).parents[2] / "dags" / "digits"


class Case(NamedTuple):
    """A script's text, and the codes of its findings with their lines."""

    text: str
    codes: set[tuple[str, int]]


def codes_of(text: str, spec: dict[str, Any] | None = None, **script: Any) -> set[tuple[str, int]]:
    findings = lint(Subject(spec=spec, script=Script("startup.sh", text, **script)))
    mine = [finding for finding in findings if finding.code.startswith("script-")]
    return {(finding.code, int(finding.where.rpartition(":")[2])) for finding in mine}


NOTHING: set[tuple[str, int]] = set()
CASES = {
    "exec with arguments": Case('#!/bin/sh\nset -e\nexec python train.py "$@"\n', NOTHING),
    "no exec": Case(
        '#!/bin/bash\npip install -r requirements.txt\npython train.py "$@"\n',
        {("script-no-exec", 3)},
    ),
    "no arguments": Case("#!/bin/sh\nexec python train.py\n", {("script-drops-arguments", 2)}),
    "arguments without quotes": Case(
        "#!/bin/sh\nexec python train.py $@\n", {("script-splits-arguments", 2)}
    ),
    "star without quotes": Case(
        "#!/bin/sh\nexec python train.py $*\n", {("script-splits-arguments", 2)}
    ),
    "star in quotes is one word": Case(
        '#!/bin/sh\nexec python train.py "$*"\n', {("script-splits-arguments", 2)}
    ),
    "star for the log only": Case(
        '#!/bin/sh\necho "args: $*"\nexec python train.py "$@"\n', NOTHING
    ),
    "arguments kept in a variable": Case(
        '#!/bin/sh\nARGS="$@"\nexec python train.py $ARGS\n', {("script-splits-arguments", 2)}
    ),
    "arguments kept in an array": Case(
        '#!/bin/bash\nARGS=("$@")\nexec python train.py "${ARGS[@]}"\n', NOTHING
    ),
    "the rest of the arguments": Case('#!/bin/bash\nexec python "$1" "${@:2}"\n', NOTHING),
    "positional arguments by hand": Case(
        '#!/bin/sh\nexec python train.py --epochs "$1" --lr "${2:-0.1}"\n', NOTHING
    ),
    "a function has arguments of its own": Case(
        '#!/bin/sh\nsay() { echo "$1"; }\nsay hello\nexec python train.py\n',
        {("script-drops-arguments", 4)},
    ),
    "inside a substitution": Case(
        '#!/bin/sh\nexec python train.py --out "$(realpath "$1")"\n', NOTHING
    ),
    "the quick start of Run:ai": Case(
        "#!/bin/bash\npip install -r requirements.txt\ntrap 'kill 0; wait' SIGTERM\npython -u main.py \"$@\" &\nwait\n",
        {("script-hides-failure", 4), ("script-trap-recurses", 3)},
    ),
    "the quick start, mended": Case(
        "#!/bin/bash\npip install -r requirements.txt\ntrap 'trap \"\" TERM; kill 0; wait' TERM\n"
        'python -u main.py "$@" & pid=$!\nwait "$pid"\n',
        NOTHING,
    ),
    "trap, process id, second wait": Case(
        "#!/bin/bash\ntrap 'kill -TERM $PID' TERM INT\npython train.py \"$@\" &\nPID=$!\nwait $PID\n"
        "trap - TERM INT\nwait $PID\nexit $?\n",
        NOTHING,
    ),
    "trap that waits": Case(
        '#!/bin/bash\ntrap \'kill -TERM "$pid"; wait "$pid"\' TERM\npython train.py "$@" & pid=$!\nwait "$pid"\n',
        NOTHING,
    ),
    "trap that forwards and leaves": Case(
        "#!/bin/bash\ntrap 'kill -TERM $PID' TERM\npython train.py \"$@\" &\nPID=$!\nwait $PID\n",
        {("script-leaves-early", 3)},
    ),
    "trap in a function that waits": Case(
        '#!/bin/bash\n_term() {\n  kill -TERM "$child" 2>/dev/null\n  wait "$child"\n}\ntrap _term SIGTERM\n'
        'python train.py "$@" &\nchild=$!\nwait "$child"\n',
        NOTHING,
    ),
    "trap in a function that leaves": Case(
        '#!/bin/bash\nfunction _term {\n  echo stop\n  kill -TERM "$child"\n}\ntrap _term SIGTERM\n'
        'python train.py "$@" &\nchild=$!\nwait "$child"\n',
        {("script-leaves-early", 7)},
    ),
    "trap around the foreground": Case(
        "#!/bin/bash\ntrap 'kill 0' TERM\npython train.py \"$@\"\n",
        {("script-trap-waits", 3), ("script-trap-recurses", 2)},
    ),
    "trap that only talks": Case(
        "#!/bin/bash\nset -e\ntrap 'echo preempted; exit 1' TERM\npython train.py \"$@\"\n",
        {("script-no-exec", 4)},
    ),
    "trap that leaves a mark": Case(
        "#!/bin/bash\ntrap 'touch /tmp/stop' TERM\npython train.py \"$@\" &\npid=$!\n"
        "while kill -0 $pid; do sleep 1; done\nwait $pid\n",
        NOTHING,
    ),
    "trap whose action is not known": Case(
        '#!/bin/bash\ntrap "$ON_TERM" TERM\npython train.py "$@" &\nPID=$!\nwait $PID\nwait $PID\n',
        NOTHING,
    ),
    "trap at the end only": Case(
        "#!/bin/bash\nset -e\ntrap 'rm -rf /tmp/x' EXIT\npython train.py \"$@\"\n",
        {("script-no-exec", 4)},
    ),
    "SIGTERM switched off": Case(
        "#!/bin/bash\ntrap '' TERM\nexec python train.py \"$@\"\n", {("script-ignores-sigterm", 2)}
    ),
    "SIGTERM switched off, and no exec": Case(
        "#!/bin/bash\ntrap '' TERM\npython train.py \"$@\"\n",
        {("script-ignores-sigterm", 2), ("script-no-exec", 3)},
    ),
    "background without wait": Case(
        '#!/bin/bash\nnohup python train.py "$@" > log 2>&1 &\n',
        {("script-leaves-early", 2), ("script-no-exec", 2)},
    ),
    "into tee": Case(
        '#!/bin/bash\nexec python train.py "$@" 2>&1 | tee -a train.log\n',
        {("script-no-exec", 2), ("script-hides-failure", 2)},
    ),
    "into tee with pipefail": Case(
        '#!/bin/bash\nset -euo pipefail\npython train.py "$@" | tee train.log\n',
        {("script-no-exec", 3)},
    ),
    "log by redirection": Case(
        '#!/bin/bash\nexec > >(tee -a train.log) 2>&1\nexec python train.py "$@"\n', NOTHING
    ),
    "failure forgiven": Case(
        '#!/bin/sh\npython train.py "$@" || true\n',
        {("script-no-exec", 2), ("script-hides-failure", 2)},
    ),
    "something after the training": Case(
        '#!/bin/sh\npython train.py "$@"\necho done\n',
        {("script-no-exec", 2), ("script-hides-failure", 2)},
    ),
    "the same, but errors stop it": Case(
        '#!/bin/sh -e\npython train.py "$@"\necho done\n', {("script-no-exec", 2)}
    ),
    "exit code kept": Case(
        '#!/bin/sh\npython train.py "$@"\nrc=$?\necho "ended with $rc"\nexit $rc\n',
        {("script-no-exec", 2)},
    ),
    "exit code kept behind or": Case(
        '#!/bin/sh\nrc=0\npython train.py "$@" || rc=$?\necho "ended with $rc"\nexit $rc\n',
        {("script-no-exec", 3)},
    ),
    "ends with exit 0": Case(
        '#!/bin/sh\npython train.py "$@"\nexit 0\n',
        {("script-no-exec", 2), ("script-hides-failure", 2)},
    ),
    "exec in both branches": Case(
        '#!/bin/bash\nif [ -n "${NPROC:-}" ]; then\n  exec torchrun --nproc_per_node "$NPROC" train.py "$@"\nelse\n'
        '  exec python train.py "$@"\nfi\n',
        NOTHING,
    ),
    "exec in one branch: undecided": Case(
        '#!/bin/bash\nif [[ -f last.ckpt && $1 != fresh ]]; then\n  exec python train.py --resume "$@"\nelse\n'
        '  python train.py "$@"\nfi\n',
        NOTHING,
    ),
    "exec in a branch, then none": Case(
        '#!/bin/bash\nset -e\nif [ "$1" = debug ]; then exec bash; fi\npython train.py "$@"\n',
        {("script-no-exec", 4)},
    ),
    "no exec in any branch": Case(
        '#!/bin/sh\ncase "$MODE" in\n  a|b) python a.py "$@" ;;\n  *) python b.py "$@" ;;\nesac\n',
        {("script-no-exec", 4)},
    ),
    "exec in a case": Case(
        '#!/bin/sh\ncase "$1" in\n  train) shift; exec python train.py "$@";;\n  *) exec "$@";;\nesac\n',
        NOTHING,
    ),
    "main function": Case(
        '#!/bin/bash\nmain() {\n  exec python train.py "$@"\n}\nmain "$@"\n', NOTHING
    ),
    "main function without exec": Case(
        '#!/bin/bash\nfunction main() {\n  cd /code\n  python train.py "$@"\n}\nmain "$@"\n',
        {("script-no-exec", 4)},
    ),
    "runs what it is given": Case(
        '#!/bin/sh\nset -e\n. /opt/venv/bin/activate\nexec "$@"\n', NOTHING
    ),
    "another file decides": Case("#!/bin/bash\nsource ./common.sh\nrun_training\n", NOTHING),
    "hands over to another script": Case(
        '#!/bin/sh\nexec "$(dirname "$0")/startup.sh" "$@"\n', NOTHING
    ),
    "continuation": Case(
        '#!/bin/bash\nexec torchrun \\\n  --nproc_per_node=8 \\\n  train.py \\\n  "$@"\n', NOTHING
    ),
    "comment in between": Case(
        '#!/bin/sh\n# exec python train.py "$@"\npython train.py  # "$@"\n',
        {("script-no-exec", 3), ("script-drops-arguments", 3)},
    ),
    "heredoc": Case(
        "#!/bin/bash\ncat > config.yaml <<EOF\nrun: exec python train.py\nargs: $@\nEOF\ncat <<-'END'\n"
        '\ttrap \'x\n\tEND\nexec python train.py --config config.yaml "$@"\n',
        NOTHING,
    ),
    "quotes within quotes": Case(
        '#!/bin/bash\nHERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"\nNAME=${1#*=}  # after the sign\n'
        'exec python "$HERE/train.py" --name "$NAME"\n',
        NOTHING,
    ),
    "environment before exec": Case(
        '#!/bin/sh\nOMP_NUM_THREADS=4 exec python train.py "$@"\n', NOTHING
    ),
    "env between": Case('#!/bin/sh\nexec env OMP_NUM_THREADS=4 python train.py "$@"\n', NOTHING),
    "board beside it": Case(
        '#!/bin/bash\ntensorboard --logdir /logs &\nexec python train.py "$@"\n', NOTHING
    ),
    "loop over folds": Case(
        '#!/bin/bash\nset -e\nfor fold in 1 2 3; do\n  python train.py --fold $fold "$@"\ndone\n',
        {("script-no-exec", 4)},
    ),
    "only prepares": Case(
        "#!/bin/sh\nmkdir -p /shared/out\npip install -r requirements.txt\n", NOTHING
    ),
    "another language": Case("#!/usr/bin/env python3\nprint('train')\n", NOTHING),
    "cannot be read": Case("#!/bin/sh\npython train.py 'oops\n", NOTHING),
    "arithmetic loop": Case(
        '#!/bin/bash\nfor ((i=0; i<3; i++)); do\n  (( i > 1 )) && python t.py "$@"\ndone\n',
        {("script-no-exec", 3)},
    ),
    "empty": Case("", NOTHING),
    "Windows": Case('#!/bin/sh\r\nexec python train.py "$@"\r\n', {("script-crlf", 1)}),
    "no shebang": Case('exec python train.py "$@"\n', {("script-no-shebang", 1)}),
    "invisible mark": Case(
        '\ufeff#!/bin/sh\nexec python train.py "$@"\n', {("script-no-shebang", 1)}
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_script_is_judged_by_what_it_does(case: Case) -> None:
    assert codes_of(case.text) == case.codes


@pytest.mark.parametrize("name", ["startup.sh", "evaluate.sh"])
def test_our_own_scripts_give_no_finding(name: str) -> None:
    path = DIGITS / name
    beside = tuple(entry.name for entry in DIGITS.iterdir())
    assert codes_of(path.read_text(), mode=path.stat().st_mode, neighbours=beside) == NOTHING


@pytest.mark.parametrize(
    ("body", "beside", "found"),
    [
        ("exec python train.py", ("requirements.txt", "train.py"), True),
        ("exec python train.py", ("requirements-gpu.txt",), True),
        ("exec python train.py", ("environment.yml",), True),
        ("exec python train.py", ("train.py", "README.md"), False),
        ("exec python train.py", None, False),
        ("pip install -r requirements.txt\nexec python train.py", ("requirements.txt",), False),
        (
            "python3 -m pip install -q -r requirements.txt\nexec python train.py",
            ("requirements.txt",),
            False,
        ),
        ("exec uv run train.py", ("requirements.txt", "pyproject.toml"), False),
        ("./setup.sh\nexec python train.py", ("requirements.txt",), False),
        ("source /opt/conda/bin/activate x\nexec python train.py", ("environment.yml",), False),
    ],
)
def test_requirements_beside_the_script_are_to_be_installed(
    body: str, beside: tuple[str, ...] | None, found: bool
) -> None:
    codes = {code for code, _ in codes_of(f'#!/bin/sh\n{body} "$@"\n', neighbours=beside)}
    assert ("script-installs-nothing" in codes) is found


@pytest.mark.parametrize(
    ("mode", "spec", "found"),
    [
        (0o644, None, {"script-not-executable"}),
        (0o755, None, set()),
        (None, None, set()),
        (0o644, {"image": "a:1", "command": "./startup.sh"}, {"script-not-executable"}),
        (0o644, {"image": "a:1", "command": "bash startup.sh"}, set()),
        (0o644, {"image": "a:1"}, set()),
    ],
)
def test_script_must_be_executable_if_it_is_started_directly(
    mode: int | None, spec: dict[str, Any] | None, found: set[str]
) -> None:
    assert {
        code for code, _ in codes_of('#!/bin/sh\nexec python t.py "$@"\n', spec, mode=mode)
    } == found


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"image": "a:1", "command": "./startup.sh"}, set()),
        ({"image": "a:1", "command": "bash startup.sh"}, set()),
        (
            {"image": "a:1", "command": "./startup.sh", "args": "epochs=3"},
            {"script-drops-arguments"},
        ),
        (
            {"image": "a:1", "command": "./startup.sh", "args": "{{ params.args }}"},
            {"script-drops-arguments"},
        ),
        (
            {"image": "a:1", "command": "./startup.sh", "template_id": "1"},
            {"script-drops-arguments"},
        ),
    ],
)
def test_dropping_arguments_matters_only_if_there_may_be_some(
    spec: dict[str, Any], found: set[str]
) -> None:
    assert {code for code, _ in codes_of("#!/bin/sh\nexec python train.py\n", spec)} == found


def test_a_forwarding_init_makes_up_for_a_missing_exec() -> None:
    text = '#!/bin/sh\npython train.py "$@"\n'
    assert (
        codes_of(text, {"image": "a:1", "command": "/usr/bin/tini -g -- ./startup.sh"}) == NOTHING
    )
    assert codes_of(text, {"image": "a:1", "command": "./startup.sh"}) == {("script-no-exec", 2)}


@pytest.mark.parametrize(
    ("word", "uses"),
    [
        ('"$@"', {"quoted"}),
        ("$@", {"bare"}),
        ("${*}", {"bare"}),
        ('"$*"', {"joined"}),
        ("'$@'", set()),
        (r"\$@", set()),
        ('"${@:2}"', {"quoted"}),
        ('"a$1b"', {"one"}),
        ("$#", set()),
        ('"$(f "$@")"', {"inner"}),
        ("`f $1`", {"inner"}),
        ("${x:-$y}", set()),
        ("plain", set()),
    ],
)
def test_use_of_arguments_in_a_word(word: str, uses: set[str]) -> None:
    assert arguments_in(word) == uses


def test_words_keep_their_quotes_and_lines() -> None:
    found = tokens('a "b c" \\\n  d; e#f # g\n$(h "i)" j)k <<<x 2>&1')
    assert [token.text for token in found if not token.is_operator] == [
        "a",
        '"b c"',
        "d",
        "e#f",
        '$(h "i)" j)k',
        "x",
        "1",
    ]
    assert [token.text for token in found if token.is_operator] == [";", "\n", "<<<", "2>&"]
    assert [token.line for token in found][-1] == 3


PIECES = (
    *(
        "if",
        "then",
        "fi",
        "case",
        "esac",
        "in",
        "{",
        "}",
        "(",
        ")",
        "((",
        "))",
        "[[",
        "]]",
        "function",
        "f()",
        "do",
    ),
    *(
        "done",
        "for",
        "while",
        "exec",
        "trap",
        "''",
        "TERM",
        "wait",
        "&",
        "&&",
        "||",
        "|",
        ";",
        ";;",
        "\n",
        "\\\n",
    ),
    *(
        "<<EOF",
        "EOF",
        "'",
        '"',
        "`",
        "$(",
        "${",
        "$@",
        '"$@"',
        "python",
        "x=1",
        "#",
        "2>&1",
        "\r\n",
        "é",
        "\0",
    ),
)
SHELLISH = st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(SHELLISH | st.text(max_size=60))
@example("[[ f()")
def test_any_text_is_read_or_left_alone(text: str) -> None:
    script = read_script(text)
    assert all(
        command.words and command.line <= text.count("\n") + 1
        for command in (script.commands if script else ())
    )
    for finding in lint(Subject(script=Script("startup.sh", text, 0o644, ("requirements.txt",)))):
        assert finding.where.startswith("startup.sh:")
