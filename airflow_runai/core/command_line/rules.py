"""
What flags mean together: names, the command, GPUs, claims.

Each rule looks at the whole draft.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable, Iterable

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import Takes
from airflow_runai.core.command_line.line import Words
from airflow_runai.core.command_line.mounts import GIT_V1
from airflow_runai.core.command_line.scan import Given, Scan
from airflow_runai.core.command_line.verbs import Verb, launcher
from airflow_runai.core.command_line.words import placeholders, unfilled
from airflow_runai.core.secrets import in_value, in_words
from airflow_runai.core.texts import cut

_LONGEST_LABEL = 63
_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_SINGLE = "single trainings (one pod)"

#: Of each group one flag at most. A share comes of one GPU, so more than one device excludes it as
#: well.
_EXCLUSIVE = (
    ("gpu", "gpu-memory", "mig-profile"),
    ("gpu-portion-request", "gpu-memory-request", "mig-profile"),
    ("preferred-pod-topology-key", "required-pod-topology-key"),
    ("always-pull-image", "local-image", "image-pull-policy"),
    ("allow-privilege-escalation", "prevent-privilege-escalation"),
)
_REQUEST_TYPES = {
    "portion": "gpu-portion-request",
    "memory": "gpu-memory-request",
    "migProfile": "mig-profile",
}


def names(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Settle the name: a positional or ``--name``, not both; CLI v1 prefers it to a prefix, CLI v2 refuses both."""
    given = [*scan.positionals, *filter(None, [draft.told.pop("--name", None)])]
    if len(given) > 1:
        shown = ["(not shown)" if in_value(name) else repr(name) for name in given[:5]]
        draft.problems.append(
            f"name: {len(given)} given: {', '.join(shown)}; allowed: one, as a word or with --name. "
            "Words for the container stand behind --, as in '-- python train.py'; booleans take a value as --flag=false"
        )
    for name in given[:1]:
        draft.told["name"] = name
    for key, label in (("name", "name"), ("name_prefix", "name prefix")):
        if key in draft.told and not _LABEL.fullmatch(draft.told[key]):
            draft.problems += _misnamed(label, draft.told[key], draft)
    if given and "name_prefix" in draft.told:
        _both_names(draft, verb)


def _misnamed(label: str, found: str, draft: Draft) -> list[str]:
    if placeholders(found):
        return [] if draft.unfilled else [f"{label}: {unfilled(found)}"]
    if len(found) > _LONGEST_LABEL:
        return [
            f"{label}: {cut(found, 30)!r} has {len(found)} characters; allowed: {_LONGEST_LABEL}"
        ]
    return [f"{label}: {found!r}; allowed: lower-case letters, digits and hyphens, a letter first"]


def _both_names(draft: Draft, verb: Verb) -> None:
    if verb.old:
        draft.warnings.append(
            f"--job-name-prefix: not used beside a name; found {draft.told.pop('name_prefix')!r}"
        )
    else:
        draft.problems.append("--name-prefix: together with a name; allowed: one of the two")


def command(draft: Draft, verb: Verb, scan: Scan) -> None:
    """
    Settle command and arguments; the words after a bare ``--`` win over ``--args``, as in CLI v1.
    """
    words = _values(scan.given, "command")
    args = _values(scan.given, "args")
    draft.words = _meant(words, args, scan)
    if scan.payload is None and verb.old:
        if any(" " in word for word in words):
            draft.warnings.append(
                "--command: one word for the container, though it has blanks; write -- before words"
            )
    elif scan.payload is None:
        words = []
        if "command" in draft.given:
            draft.problems.append(
                "--command: is boolean here and nothing follows --; allowed: --command -- WORDS"
            )
    else:
        on = words[-1:] == ["true"]
        if on and not scan.payload:
            draft.problems.append("--command: no words follow --; allowed: --command -- WORDS")
        if args:
            draft.warnings.append("--args: not used, because the words after -- win")
        words, args = (scan.payload, []) if on else ([], scan.payload)
    for key, found in (("command", words), ("args", args)):
        if found:
            draft.put(key, shlex.join(found))


def _meant(words: list[str], args: list[str], scan: Scan) -> Words | None:
    """Say how the words lie over those of a template."""
    if scan.payload:
        return "either" if not words else "command" if words[-1] == "true" else "args"
    return "flags" if scan.payload is None and (words or args) else None


def _values(given: Iterable[Given], name: str) -> list[str]:
    return [entry.value for entry in given if entry.flag.names[0] == name]


def exclusive(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Refuse flags that exclude each other."""
    shown = {entry.flag.names[0]: _shown(entry) for entry in scan.given if entry.value != "false"}
    for group in _EXCLUSIVE:
        found = [shown[name] for name in group if name in shown]
        if len(found) > 1:
            draft.problems.append(f"{', '.join(found)}: exclude each other; allowed: one of them")
    shares = [name for name in _EXCLUSIVE[1] if name in shown]
    if shares and draft.get("compute.gpu_devices", 1) != 1 and "gpu-devices-request" in shown:
        draft.problems.append(
            f"{shown['gpu-devices-request']}: with --{shares[0]}, a part of one GPU; allowed: one of both"
        )
    kind = draft.told.get("gpu-request-type")
    if kind is not None and (kind not in _REQUEST_TYPES or shares != [_REQUEST_TYPES[kind]]):
        told = ", ".join(f"{name} with --{flag}" for name, flag in _REQUEST_TYPES.items())
        draft.problems.append(
            f"--gpu-request-type: {kind!r} beside {shares or 'none of its flags'}; allowed: {told}"
        )


def _shown(entry: Given) -> str:
    return entry.shown if entry.flag.takes is Takes.NOTHING else f"{entry.shown} {entry.value}"


def several_runs(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Check what belongs to hyper-parameter runs."""
    if int(draft.get("parallelism", 1)) > 1:
        if "completions" not in draft.spec:
            draft.problems.append(
                "--parallelism: more than 1 without --completions; say how many runs there are"
            )
        if "elastic" in draft.given:
            draft.problems.append(
                "--elastic: together with --parallelism above 1; allowed: one of the two"
            )


def volumes(draft: Draft, verb: Verb, scan: Scan) -> None:
    """
    Let volumes inherit mount propagation, and claims of CLI v1 the name that it would give them.
    """
    if draft.told.pop("mount-propagation", "") == "true":
        mounts = draft.get("storage.host_path", [])
        for entry in mounts:
            entry["mount_propagation"] = "HostToContainer"
        if not mounts or len(draft.get("storage", {})) > 1:
            draft.warnings.append(
                "--mount-propagation: the API knows it for directories of the node only"
            )
    if draft.told.pop("nfs-server", "") and "volume" not in draft.given:
        draft.warnings.append("--nfs-server: there is no --volume that it could serve")
    if verb.old and "name" in draft.told:
        for index, entry in enumerate(draft.get("storage.pvc", [])):
            entry.setdefault("claim", f"pvc-{draft.told['name']}-{index}")


def home(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Make a home directory for another user, as both command lines do."""
    if draft.told.pop("run-as-user", ""):
        draft.fills["create_home_dir"] = True


def launchers(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Settle the launcher, and refuse flags of another one."""
    word = draft.told.pop("framework", None)
    try:
        named = launcher(word) if word is not None else None
    except ValueError as error:
        draft.problems.append(f"--framework: {error}")
        return
    if verb.launcher and named not in (None, verb.launcher):
        draft.problems.append(
            f"--framework: {word!r} in 'runai {' '.join(verb.words)}'; leave it out"
        )
    kind = verb.launcher or named
    if kind is None:
        draft.problems.append("--framework: missing; allowed: -f PyTorch, TF, MPI or XGBoost")
        return
    if kind != "single":
        draft.put("distributed.framework", kind)
    draft.launcher = verb.old and kind == "MPI"
    if verb.old and verb.words[0] in ("submit-mpi", "mpi", "mj"):
        draft.fills["distributed.workers"] = 1
    _only(draft, kind, scan.given)


def _only(draft: Draft, kind: str, given: Iterable[Given]) -> None:
    for entry in given:
        if entry.flag.only and kind not in entry.flag.only:
            allowed = ", ".join(sorted(entry.flag.only)).replace("single", _SINGLE)
            here = _SINGLE if kind == "single" else kind
            draft.problems.append(
                f"{entry.shown}: not for {here}; allowed: {allowed}. Leave it out"
            )


def image(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Ask for an image, unless a template may have one."""
    if "image" not in scan.named and "template" not in draft.told:
        draft.problems.append("--image: missing; allowed: -i IMAGE, or a template that has one")


def source(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Ask for the repository's address, unless a template may have it."""
    if draft.git and "repository" not in draft.git and "template" not in draft.told:
        draft.problems.append(f"--git-sync: source missing; allowed: {GIT_V1.usage}")


def secrets(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Warn of what should be no part of a line: it ends in DAG files, in logs and in the workload's description."""
    better = f"-e {{0}}={'SECRET:NAME,KEY' if verb.old else '…: --env-secret {0}=NAME,key=KEY'}"
    for name, value in draft.get("environment", {}).items():
        if isinstance(value, str) and in_value(value):
            draft.warnings.append(
                f"-e {name}: carries a password or token (not shown), which ends in DAG files and logs; write "
                f"{better.format(name)}"
            )
    for flag in ("labels", "annotations"):
        draft.warnings += [
            f"{flag}, {name}: carries a password or token (not shown), which everybody can read; leave it out"
            for name, value in draft.get(flag, {}).items()
            if in_value(value)
        ]
    for where in in_words(_words_of(draft, scan)):
        draft.warnings.append(
            f"{where} of the command: looks like a secret (not shown), which ends in DAG files and logs; let the "
            f"program read a variable, and write {better.format('NAME')}"
        )


def _words_of(draft: Draft, scan: Scan) -> list[str]:
    found = scan.payload or [*_values(scan.given, "command"), *_values(scan.given, "args")]
    for key in ("command", "args"):
        with contextlib.suppress(ValueError):
            found = [*found, *shlex.split(draft.get(f"distributed.master.{key}", ""))]
    return found


def quotes(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Warn of texts for the master that nobody can split into words."""
    for key in ("command", "args"):
        try:
            shlex.split(draft.get(f"distributed.master.{key}", ""))
        except ValueError:
            draft.warnings.append(
                f"--master-{key}: a quote is not closed; what becomes of it is up to the server"
            )


RULES: tuple[Callable[[Draft, Verb, Scan], None], ...] = (
    names, command, launchers, exclusive, several_runs, volumes, home, image, source, quotes, secrets,
)  # fmt: skip
