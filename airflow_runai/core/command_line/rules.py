"""
What flags mean together: names, GPUs, claims, launchers.

Each rule looks at the whole draft.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from airflow_runai.core.command_line.draft import Draft
from airflow_runai.core.command_line.flags import Takes
from airflow_runai.core.command_line.mounts import GIT_V1
from airflow_runai.core.command_line.payload import all_words, command, quotes
from airflow_runai.core.command_line.scan import Occurrence, Scan
from airflow_runai.core.command_line.verbs import Verb, launcher_named
from airflow_runai.core.command_line.words import placeholders, unfilled
from airflow_runai.core.secrets import in_value, in_words
from airflow_runai.core.texts import cut

_MAX_LABEL = 63
_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_SINGLE = "single trainings (one pod)"

#: Flags of CLI v2 that request a part of one GPU, by the value of ``--gpu-request-type``.
_REQUEST_TYPES = {
    "portion": "gpu-portion-request",
    "memory": "gpu-memory-request",
    "migProfile": "mig-profile",
}
#: Of each group at most one flag.
_EXCLUSIVE = (
    ("gpu", "gpu-memory", "mig-profile"),
    tuple(_REQUEST_TYPES.values()),
    ("preferred-pod-topology-key", "required-pod-topology-key"),
    ("always-pull-image", "local-image", "image-pull-policy"),
    ("allow-privilege-escalation", "prevent-privilege-escalation"),
)


def names(draft: Draft, verb: Verb, scan: Scan) -> None:
    """
    Settle the name: a positional or ``--name``, not both.

    Beside a prefix, CLI v1 prefers the name and CLI v2 refuses both.
    """
    outside = draft.outside_spec
    candidates = [*scan.positionals, *filter(None, [outside.pop("--name", None)])]
    if len(candidates) > 1:
        draft.problems.append(_several_names(candidates))
    if candidates:
        outside["name"] = candidates[0]
    for key, label in (("name", "name"), ("name_prefix", "name prefix")):
        if key in outside:
            draft.problems += _problems_of_name(label, outside[key], draft)
    if candidates and "name_prefix" in outside:
        _both_names(draft, verb)


def _several_names(candidates: list[str]) -> str:
    shown = ["(not shown)" if in_value(name) else repr(name) for name in candidates[:5]]
    return (
        f"name: {len(candidates)} given: {', '.join(shown)}; "
        "allowed: one, as a word or with --name. Words for the container stand behind --, "
        "as in '-- python train.py'; booleans take a value as --flag=false"
    )


def _problems_of_name(label: str, name: str, draft: Draft) -> list[str]:
    if _LABEL.fullmatch(name):
        return []
    if placeholders(name):
        return [] if draft.placeholders_named else [f"{label}: {unfilled(name)}"]
    if len(name) > _MAX_LABEL:
        return [f"{label}: {cut(name, 30)!r} has {len(name)} characters; allowed: {_MAX_LABEL}"]
    return [f"{label}: {name!r}; allowed: lower-case letters, digits and hyphens, a letter first"]


def _both_names(draft: Draft, verb: Verb) -> None:
    if verb.old:
        prefix = draft.outside_spec.pop("name_prefix")
        draft.warnings.append(f"--job-name-prefix: not used beside a name; found {prefix!r}")
    else:
        draft.problems.append("--name-prefix: together with a name; allowed: one of the two")


def exclusive(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Refuse flags that exclude each other."""
    written = {item.name: _written(item) for item in scan.occurrences if item.value != "false"}
    for group in _EXCLUSIVE:
        together = [written[name] for name in group if name in written]
        if len(together) > 1:
            draft.problems.append(
                f"{', '.join(together)}: exclude each other; allowed: one of them"
            )
    shares = [name for name in _REQUEST_TYPES.values() if name in written]
    if shares and "gpu-devices-request" in written:
        _check_devices(draft, written["gpu-devices-request"], shares[0])
    _check_request_type(draft, shares)


def _check_devices(draft: Draft, devices: str, share: str) -> None:
    # A part is always of one GPU, so naming one device beside it contradicts nothing.
    if draft.get("compute.gpu_devices", 1) != 1:
        draft.problems.append(f"{devices}: with --{share}, a part of one GPU; allowed: one of both")


def _written(item: Occurrence) -> str:
    if item.flag.takes is Takes.NOTHING:
        return item.written
    return f"{item.written} {item.value}"


def _check_request_type(draft: Draft, shares: list[str]) -> None:
    request_type = draft.outside_spec.get("gpu-request-type")
    if request_type is None or shares == [_REQUEST_TYPES.get(request_type)]:
        return
    allowed = ", ".join(f"{name} with --{flag}" for name, flag in _REQUEST_TYPES.items())
    draft.problems.append(
        f"--gpu-request-type: {request_type!r} beside {shares or 'none of its flags'}; "
        f"allowed: {allowed}"
    )


def several_runs(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Check what belongs to hyper-parameter runs."""
    # What is not a number has been reported, and left no value.
    if int(draft.get("parallelism", 1)) <= 1:
        return
    if "completions" not in draft.spec:
        draft.problems.append(
            "--parallelism: more than 1 without --completions; say how many runs there are"
        )
    if "elastic" in draft.flags:
        draft.problems.append(
            "--elastic: together with --parallelism above 1; allowed: one of the two"
        )


def volumes(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Let volumes inherit mount propagation, and name claims as CLI v1 would."""
    if draft.outside_spec.pop("mount-propagation", "") == "true":
        _propagate_mounts(draft)
    if draft.outside_spec.pop("nfs-server", "") and "volume" not in draft.flags:
        draft.warnings.append("--nfs-server: there is no --volume that it could serve")
    if verb.old and "name" in draft.outside_spec:
        for index, entry in enumerate(draft.get("storage.pvc", [])):
            entry.setdefault("claim", f"pvc-{draft.outside_spec['name']}-{index}")


def _propagate_mounts(draft: Draft) -> None:
    mounts = draft.get("storage.host_path", [])
    for entry in mounts:
        entry["mount_propagation"] = "HostToContainer"
    if not mounts or len(draft.get("storage", {})) > 1:
        draft.warnings.append(
            "--mount-propagation: the API knows it for directories of the node only"
        )


def home(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Make a home directory for another user, as both command lines do."""
    if draft.outside_spec.pop("run-as-user", ""):
        # A default, which a template may overrule.
        draft.fills["create_home_dir"] = True


def launchers(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Settle the launcher, and refuse flags of another one."""
    launcher = _launcher(draft, verb)
    if launcher is None:
        return
    if launcher != "single":
        draft.put("distributed.framework", launcher)
    # In MPI jobs of CLI v1 the launcher alone runs the command, see line.py.
    draft.launcher = verb.old and launcher == "MPI"
    if verb.old and verb.words[0] in ("submit-mpi", "mpi", "mj"):
        draft.fills["distributed.workers"] = 1
    _refuse_flags_of_others(draft, launcher, scan)


def _launcher(draft: Draft, verb: Verb) -> str | None:
    """Return the launcher that the command or ``--framework`` names; problems if neither can."""
    word = draft.outside_spec.pop("framework", None)
    try:
        framework = launcher_named(word) if word is not None else None
    except ValueError as error:
        draft.problems.append(f"--framework: {error}")
        return None
    if verb.launcher and framework not in (None, verb.launcher):
        draft.problems.append(
            f"--framework: {word!r} in 'runai {' '.join(verb.words)}'; leave it out"
        )
    launcher = verb.launcher or framework
    if launcher is None:
        draft.problems.append("--framework: missing; allowed: -f PyTorch, TF, MPI or XGBoost")
    return launcher


def _refuse_flags_of_others(draft: Draft, launcher: str, scan: Scan) -> None:
    for item in scan.occurrences:
        if item.flag.only and launcher not in item.flag.only:
            allowed = ", ".join(sorted(item.flag.only)).replace("single", _SINGLE)
            here = _SINGLE if launcher == "single" else launcher
            draft.problems.append(
                f"{item.written}: not for {here}; allowed: {allowed}. Leave it out"
            )


def image(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Require an image, unless a template may have one."""
    # Recognized, not read: an image that cannot be read is not missing as well.
    if "image" not in scan.recognized and not draft.has_template:
        draft.problems.append("--image: missing; allowed: -i IMAGE, or a template that has one")


def source(draft: Draft, verb: Verb, scan: Scan) -> None:
    """Require the repository's address, unless a template may have it."""
    if draft.git and "repository" not in draft.git and not draft.has_template:
        draft.problems.append(f"--git-sync: source missing; allowed: {GIT_V1.usage}")


def secrets(draft: Draft, verb: Verb, scan: Scan) -> None:
    """
    Warn of secrets in the line.

    It ends in DAG files, in logs and in the workload's description.
    """
    remedy = "-e {}=SECRET:NAME,KEY" if verb.old else "-e {0}=…: --env-secret {0}=NAME,key=KEY"
    for name, value in draft.get("environment", {}).items():
        if isinstance(value, str) and in_value(value):
            draft.warnings.append(
                f"-e {name}: carries a password or token (not shown), which ends in DAG files and "
                f"logs; write {remedy.format(name)}"
            )
    draft.warnings += _secrets_for_everybody(draft)
    for where in in_words(all_words(draft, scan)):
        draft.warnings.append(
            f"{where} of the command: looks like a secret (not shown), which ends in DAG files and "
            f"logs; let the program read a variable, and write {remedy.format('NAME')}"
        )


def _secrets_for_everybody(draft: Draft) -> Iterator[str]:
    # Unlike secrets, these are readable by everyone who may list pods.
    for key in ("labels", "annotations"):
        for name, value in draft.get(key, {}).items():
            if in_value(value):
                yield (
                    f"{key}, {name}: carries a password or token (not shown), which everybody can "
                    "read; leave it out"
                )


RULES: tuple[Callable[[Draft, Verb, Scan], None], ...] = (
    names,
    command,
    launchers,
    exclusive,
    several_runs,
    volumes,
    home,
    image,
    source,
    quotes,
    secrets,
)
