"""
Shapes of the documentation's drawings, as SVG text.

A drawing has its own background. The reader's browser chooses the colors for light or dark mode.
"""

from __future__ import annotations

from html import escape

_STYLE = """
  .card { fill: #ffffff; stroke: #d0d7de; }
  text { fill: #1f2328; font: 13px system-ui, sans-serif; }
  .title { font-size: 15px; font-weight: 600; } .quiet { fill: #59636e; font-size: 12px; }
  .on { fill: #ffffff; }
  .line { stroke: #59636e; stroke-width: 1.5; fill: none; } .head { fill: #59636e; }
  .queue { fill: #bf8700; } .run { fill: #2f7d1f; } .gone { fill: #cf222e; } .air { fill: #0969da; }
  .wait { fill: #6e7781; } .soft { fill: #f6f8fa; stroke: #d0d7de; }
  @media (prefers-color-scheme: dark) {
    .card { fill: #0d1117; stroke: #30363d; } text { fill: #e6edf3; } .quiet { fill: #9198a1; }
    .on { fill: #ffffff; } .line { stroke: #9198a1; } .head { fill: #9198a1; }
    .soft { fill: #161b22; stroke: #30363d; }
    .queue { fill: #9e6a03; } .run { fill: #238636; } .gone { fill: #da3633; }
    .air { fill: #1f6feb; }
  }
"""
_TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    ' orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>\n'
)


def page(width: int, height: int, title: str, *shapes: str) -> str:
    """Return the whole drawing."""
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n{_TIP}"
        f'<rect class="card" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="10"/>\n'
        f"{body}\n</svg>\n"
    )


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return one line of text; ``y`` is its baseline."""
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'


def bar(x: float, y: float, width: float, kind: str, label: str, height: float = 30) -> str:
    """Return a colored bar with its label inside."""
    rect = f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>'
    return rect + text(x + width / 2, y + height / 2 + 4.5, label, "on", "middle")


def box(x: float, y: float, width: float, height: float, *lines: str) -> str:
    """Return a box with a headline and quiet lines below it."""
    rect = f'<rect class="soft" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
    top = y + height / 2 + 4.5 - 9 * (len(lines) - 1)
    written = [
        text(x + width / 2, top + 18 * n, line, "quiet" if n else "", "middle")
        for n, line in enumerate(lines)
    ]
    return rect + "".join(written)


def arrow(path: str) -> str:
    """Return an arrow along an SVG path."""
    return f'<path class="line" d="{path}" marker-end="url(#tip)"/>'


def line(path: str) -> str:
    """Return a line along an SVG path."""
    return f'<path class="line" d="{path}"/>'
