"""
A hook of MkDocs that turns Markdown for GitHub into Markdown for a site.

The pages of `docs/` link to files of the repository. GitHub shows a file by itself; a site has only
pages. So each file or folder that a page links to becomes a page below `source/`, and the links
lead there. Nothing of this changes the Markdown in the repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

_ROOT = Path(__file__).parents[1]
#: A link from a page to something of the repository outside of `docs/`.
_OUTSIDE = re.compile(r"\]\(\.\./([^)\s#]+)(?:#[^)\s]*)?\)")
#: The category behind the language of a snippet, which tests need and highlighting does not know.
_CATEGORY = re.compile(r"^```(\w+) \w+$", re.MULTILINE)
_LANGUAGES = {".py": "python", ".sh": "bash", ".yaml": "yaml", ".md": "markdown"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for everything of the repository that a page links to."""
    for path in sorted(_linked(files)):
        page = File.generated(
            config, _page_of(path), content=_shown(path), inclusion=InclusionLevel.NOT_IN_NAV
        )
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to these pages, and leave only its language to each snippet."""
    del page, config, files  # MkDocs passes them by name
    markdown = _OUTSIDE.sub(lambda link: f"]({_page_of(_normal(link[1]))})", markdown)
    return _CATEGORY.sub(r"```\1", markdown)


def _linked(files: Files) -> set[str]:
    """Return the paths in the repository that pages link to, and the files in linked folders."""
    texts = [page.content_string for page in files.documentation_pages()]
    linked = {_normal(link[1]) for text in texts for link in _OUTSIDE.finditer(text)}
    inside = {f"{path}/{name}" for path in linked for name in _files_in(_ROOT / path)}
    # MkDocs itself reports links to what does not exist.
    return {path for path in linked | inside if (_ROOT / path).exists()}


def _normal(path: str) -> str:
    return str(PurePosixPath(path))


def _page_of(path: str) -> str:
    return f"source/{path}.md"


def _files_in(folder: Path) -> Iterator[str]:
    if folder.is_dir():
        yield from sorted(child.name for child in folder.iterdir() if child.suffix in _LANGUAGES)


def _shown(path: str) -> str:
    place = _ROOT / path
    head = f"# `{path}`\n\n"
    if place.is_dir():
        return head + "\n".join(f"- [{name}]({place.name}/{name}.md)" for name in _files_in(place))
    return f"{head}~~~~ {_LANGUAGES.get(place.suffix, 'text')}\n{place.read_text()}\n~~~~\n"
