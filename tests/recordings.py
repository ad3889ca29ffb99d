"""
Recorded conversations with real clusters, as data: what one client sent and got, and what really happened.

    python -m tests.recordings FILE...

reads `.jsonl` and `.jsonl.xz` (their form: `tests/recordings/README.md`), prints one line for each
file and ends with 0 if all are right, 1 if one is not, 2 on misuse. A right file can be read, each
exchange in it is complete, and its label agrees with itself and with what the client was shown.
Whether a client understood it is not asked here.
"""

from __future__ import annotations

import argparse
import lzma
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from tests.recording_checks import problems, sightings
from tests.recording_forms import Answer, End, Entry, Header, Last, Line, Recording, Request, Truth

FOLDER = Path(__file__).with_suffix("")
SUFFIXES = (".jsonl", ".jsonl.xz")
#: Bytes of one recording, unpacked. The largest known has 1 MiB; a bomb has more.
LARGEST = 64 * 2**20

#: The key that only this form of entry has.
_FORMS: dict[str, type[Entry]] = {
    "method": Request,
    "status": Answer,
    "line": Line,
    "end": End,
    "truth": Truth,
}
_Form = TypeVar("_Form")


class RecordingError(ValueError):
    """A file that is no recording; the text names file and line."""


def names() -> list[str]:
    """Return the recordings of this project: `kai/08-reclaim-and-resume` and so on."""
    return sorted(
        path.relative_to(FOLDER).as_posix().removesuffix(".jsonl.xz")
        for path in FOLDER.glob("*/*.jsonl.xz")
    )


def named(name: str) -> Recording:
    """Read one of them."""
    return read(FOLDER / f"{name}.jsonl.xz")


def read(path: Path) -> Recording:
    """
    Read a file.

    :raises RecordingError: if it cannot be read, or a line has not the form that its place asks
        for.
    """
    lines = _lines(path)
    if len(lines) < 3:
        raise RecordingError(
            f"{path}:{len(lines)}: a recording has a header, entries and a label; here it ends"
        )
    header = _formed(Header, path, 1, lines[0])
    entries = [_entry(path, number, line) for number, line in enumerate(lines[1:-1], start=2)]
    last = _formed(Last, path, len(lines), lines[-1])
    return Recording(path=path, header=header, entries=entries, labels=last.truth_final.jobs)


def _lines(path: Path) -> list[str]:
    opener = lzma.open if path.suffix == ".xz" else open
    try:
        with opener(path, "rb") as file:
            packed = file.read(LARGEST + 1)
        if len(packed) > LARGEST:
            raise RecordingError(f"{path}: more than {LARGEST} bytes; no recording is that large")
        return packed.decode().removesuffix("\n").split("\n")
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path}: cannot be read: {error}") from None


def _entry(path: Path, number: int, line: str) -> Entry:
    try:
        found = from_json(line)
    except ValueError as error:
        raise RecordingError(f"{path}:{number}: no JSON: {error}") from None
    keys = found.keys() & _FORMS.keys() if isinstance(found, dict) else set()
    if len(keys) != 1:
        raise RecordingError(
            f"{path}:{number}: an entry has one of the keys {', '.join(_FORMS)}; this has {len(keys)}"
        )
    return _formed(_FORMS[keys.pop()], path, number, line)


def _formed(form: type[_Form], path: Path, number: int, line: str) -> _Form:
    try:
        return TypeAdapter(form).validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the line"
        found = str(first["input"])[:80]
        raise RecordingError(
            f"{path}:{number}: {form.__name__}: {place}: {first['msg']}; found {found}"
        ) from None


def _verdict(path: Path) -> tuple[str, bool]:
    try:
        recording = read(path)
    except RecordingError as error:
        return str(error), False
    found = problems(recording)
    seen = list(sightings(recording.entries))
    uids = {one.object["metadata"].get("uid") for one in seen}
    size = (
        f"{len(recording.entries) + 2} lines, {recording.entries[-1].t:.1f} s, {len(uids)} objects"
    )
    return f"{path}: {size}: {'; '.join(found) or 'ok'}", not found


def main(arguments: Sequence[str]) -> int:
    """Check the files that are named."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.recordings", description="Check recordings."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    files: list[Path] = parser.parse_args(arguments).files
    for path in files:
        if not path.name.endswith(SUFFIXES) or not path.is_file():
            parser.error(f"{path}: no file with a name that ends in {' or '.join(SUFFIXES)}")
    verdicts = []
    for path in files:
        text, right = _verdict(path)
        print(text)
        verdicts.append(right)
    return int(not all(verdicts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
