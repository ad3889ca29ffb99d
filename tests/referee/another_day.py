"""The same story on another day: other uids, drawn names, times and versions."""

from __future__ import annotations

import lzma
import random
import re
import uuid
from pathlib import Path

from tests import recordings
from tests.recording_checks import sightings
from tests.recording_forms import Recording
from tests.referee.roles import DRAWN, HASH, TIME, UID

LETTERS, HEXADECIMAL = "bcdfghjklmnpqrstvwxz2456789", "0123456789abcdef"


def another_day(name: str, folder: Path) -> Recording:
    """Write a recording anew, as it could have been."""
    dice = random.Random(name)
    text = lzma.decompress((recordings.FOLDER / f"{name}.jsonl.xz").read_bytes()).decode()
    seen = list(sightings(recordings.named(name).entries))
    named = {(one.kind, one.name) for one in seen} | {
        (one.object["involvedObject"]["kind"], one.object["involvedObject"]["name"])
        for one in seen
        if one.kind == "Event"
    }
    for kind, old in sorted(named):
        letters, suffix = (HEXADECIMAL, HASH) if kind == "Workload" else (LETTERS, DRAWN)
        if suffix.search(old):
            text = text.replace(old, suffix.sub("-" + "".join(dice.choices(letters, k=5)), old))
    uids = {
        uid: str(uuid.UUID(int=dice.getrandbits(128))) for uid in sorted(set(UID.findall(text)))
    }
    text = UID.sub(lambda found: uids[found[0]], text)
    text = TIME.sub(lambda found: f"2031{found[0][4:]}", text)
    text = re.sub(
        r'(resourceVersion(=|": "))(\d\d+)',
        lambda found: f"{found[1]}{int(found[3]) + 77777}",
        text,
    )
    text = re.sub(
        r'^\{"t": ([\d.]+)', lambda found: f'{{"t": {float(found[1]) * 3}', text, flags=re.MULTILINE
    )
    path = folder / "another-day.jsonl"
    path.write_text(text)
    return recordings.read(path)
