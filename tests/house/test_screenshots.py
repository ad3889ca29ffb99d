"""Pictures of web pages are small, and their colors are those of the page."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from docs.screenshots import shrink

#: A page with more colors than a small picture has: the soft edges of its text.
EDGES = [(level, level, min(255, level + more)) for level in range(256) for more in range(0, 40, 4)]
PREEMPTED = (217, 72, 15)


def test_a_small_bar_keeps_its_color(tmp_path: Path) -> None:
    page = Image.new("RGB", (80, 80), "white")
    page.putdata(EDGES)
    page.paste(PREEMPTED, (0, 70, 4, 74))
    path = tmp_path / "page.png"
    page.save(path)
    shrink(path)
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert picture.convert("RGB").getpixel((2, 72)) == PREEMPTED
