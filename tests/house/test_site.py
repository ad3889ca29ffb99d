"""The site can be built without a warning, loads nothing from elsewhere, and means what the Markdown means."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow

#: Elements whose address a browser loads without being asked, and the attribute that holds it.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
#: Links of this kind say something about a page and load nothing.
SAYS = {"canonical", "prev", "next"}
#: What is left of Markdown that the site's parser does not understand as GitHub does.
LEFT_OVER = re.compile(r"^\s*(?:[-*] \S|\d+\. \S|\| ?\S.*\||```|~~~)", re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


class Reader(HTMLParser):
    """Collects what a page loads, and the text of its paragraphs."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.paragraphs: list[str] = []
        self._inside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in LOADED and values.get("rel") not in SAYS:
            self.loads.append(values.get(LOADED[tag]) or "")
        if tag in ("p", "code"):
            self._inside.append(tag)
        if tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        if self._inside and self._inside[-1] == tag:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        if self._inside == ["p"]:
            self.paragraphs[-1] += data


def pages(site: Path) -> Iterator[tuple[str, Reader]]:
    # The page for what is not found is shown at any address, so its own are absolute.
    for path in sorted(set(site.glob("*.html")) - {site / "404.html"}):
        reader = Reader()
        reader.feed(path.read_text())
        yield path.name, reader


def test_every_page_is_there(site: Path) -> None:
    written = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert {path.stem for path in site.glob("*.html")} - {"404"} == written
    assert (site / "source" / "dags" / "digits_retraining.py.html").exists()


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loads = {(name, address) for name, page in pages(site) for address in page.loads}
    assert len(loads) > 100
    assert {(name, address) for name, address in loads if "//" in address} == set()
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\"']*", styles) == []


def test_all_pictures_are_there(site: Path) -> None:
    pictures = {
        address for _, page in pages(site) for address in page.loads if "images/" in address
    }
    assert len(pictures) >= 10
    assert {picture for picture in pictures if not (site / picture).exists()} == set()


def test_lists_tables_and_snippets_are_not_taken_for_text(site: Path) -> None:
    texts = [(name, text) for name, page in pages(site) for text in page.paragraphs]
    assert len(texts) > 500
    assert [(name, text[:80]) for name, text in texts if LEFT_OVER.search(text)] == []
