"""The commands of ``runai`` that submit: the flag table and launcher of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from airflow_runai.core.command_line.flags import Flag
from airflow_runai.core.command_line.table_v1 import V1
from airflow_runai.core.command_line.table_v2 import V2
from airflow_runai.core.texts import cut
from airflow_runai.core.values import nearest
from airflow_runai.errors import SpecError


@dataclass(frozen=True)
class Verb:
    """
    A command that submits.

    :param launcher: framework as the API spells it; ``single`` for one pod; ``None`` if a flag will
        say it.
    """

    table: tuple[Flag, ...]
    launcher: str | None
    words: tuple[str, ...] = ()

    @property
    def old(self) -> bool:
        """Whether it is a command of CLI v1."""
        return self.table is V1


_LAUNCHERS = {
    "pytorch": "PyTorch",
    "tensorflow": "TF",
    "tf": "TF",
    "mpi": "MPI",
    "xgboost": "XGBoost",
}

#: Longest first: ``runai mpi submit`` is CLI v2, ``runai mpi train1`` is CLI v1.
_SUBMITTING: dict[str, Verb] = {
    "training standard submit": Verb(V2, "single"),
    "training submit": Verb(V2, "single"),
    "distributed submit": Verb(V2, None),
    **{f"training {word} submit": Verb(V2, launcher) for word, launcher in _LAUNCHERS.items()},
    **{f"{word} submit": Verb(V2, launcher) for word, launcher in _LAUNCHERS.items()},
    **{f"submit-dist {word}": Verb(V1, launcher) for word, launcher in _LAUNCHERS.items()},
    **{word: Verb(V1, "MPI") for word in ("submit-mpi", "mpi", "mj")},
    "submit": Verb(V1, "single"),
}
_REFUSED = {
    "workspace": "makes an interactive workspace, which is not preempted and never ends by itself; "
    "this provider runs unattended training: submit the same flags with 'runai training submit'",
    "inference": "serves a model and never ends; this provider runs unattended training",
    "workload": "submits a file, which is not read here; "
    "write what is in it as the operator's spec",
}
_ALLOWED = (
    "runai submit, submit-mpi, submit-dist mpi|pytorch|tf|xgboost, training [FRAMEWORK] submit, "
    "distributed submit"
)


def find(words: list[str]) -> tuple[Verb, list[str]]:
    """
    Return the command and the words behind it.

    :raises SpecError: if it is not ``runai``, or does not submit an unattended training.
    """
    _check_program(words[0])
    for start, end in _spans(words):
        called = tuple(words[start:end])
        verb = _SUBMITTING.get(" ".join(called))
        if verb:
            return replace(verb, words=called), words[1:start] + words[end:]
    raise SpecError([_refusal(words[1:])])


def _check_program(word: str) -> None:
    # Lines are copied from Windows too: C:\tools\runai.exe.
    if word.replace("\\", "/").rpartition("/")[2].removesuffix(".exe") != "runai":
        begin = cut(word, 40)
        raise SpecError(
            [f"command line: begins with {begin!r}; allowed: one command of runai ({_ALLOWED})"]
        )


def _spans(words: list[str]) -> Iterator[tuple[int, int]]:
    """Yield where a command may stand, the longest first."""
    # Global flags may stand before the command, as in 'runai --loglevel debug submit'.
    begins_with_flag = len(words) > 1 and words[1].startswith("-")
    for start in range(1, len(words) if begins_with_flag else 2):
        for length in (3, 2, 1):
            if start + length <= len(words):
                yield start, start + length


def _refusal(words: list[str]) -> str:
    if words and words[0] in _REFUSED and "submit" in words[1:3]:
        return f"runai {words[0]} submit: {_REFUSED[words[0]]}"
    names = [word for word in words[:3] if not word.startswith("-")]
    # 'training' is only the first half of a command, such as 'training list'.
    length = 2 if names[:1] == ["training"] else 1
    command = cut(" ".join(names[:length]), 40)
    if not command:
        return f"runai (no command): submits nothing; allowed: {_ALLOWED}"
    hint = nearest(command, _SUBMITTING)
    near = f"; {hint}" if hint.startswith("did") else ""
    return f"runai {command}: submits nothing{near}; allowed: {_ALLOWED}"


def verb_for(launcher: str) -> str:
    """Return the command of CLI v2 for a launcher."""
    if launcher == "single":
        return "runai training submit"
    # Of the two words for TF the first one counts, so the table is read backwards.
    words = {name: word for word, name in reversed(_LAUNCHERS.items())}
    if launcher not in words:
        raise ValueError(f"{launcher!r}: the command line has no launcher for it")
    return f"runai training {words[launcher]} submit"


def launcher_named(word: str) -> str:
    """Read the value of ``--framework``."""
    if word.lower() not in _LAUNCHERS:
        raise ValueError(f"{word!r}; {nearest(word, set(_LAUNCHERS.values()))}")
    return _LAUNCHERS[word.lower()]
