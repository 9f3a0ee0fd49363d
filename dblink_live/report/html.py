"""The few pieces of HTML that the page is put together from. Every text that comes in is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from dblink_live.report.trust import Figure


def text(value: object) -> str:
    """Anything as text that cannot be markup, in an element or in a quoted attribute."""
    return escape(str(value), quote=True)


def badge(words: str, level: str = "plain") -> str:
    return f'<span class="badge {level}">{text(words)}</span>'


def cards(figures: Iterable[Figure]) -> str:
    """A grid of figures; gaps are dashed and grey, so that nobody takes them for numbers."""
    return f'<div class="cards">{"".join(_card(figure) for figure in figures)}</div>'


def _card(figure: Figure) -> str:
    note = f'<div class="note">{text(figure.note)}</div>' if figure.note else ""
    return (
        f'<div class="card {figure.level}"><div class="label">{text(figure.label)}</div>'
        f'<div class="value">{text(figure.value)}</div>{note}</div>'
    )


def picture(png: bytes, caption: str) -> str:
    source = base64.b64encode(png).decode("ascii")
    return (
        f'<figure><img src="data:image/png;base64,{source}" alt="{text(caption)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def video(mp4: bytes, size: tuple[int, int], caption: str) -> str:
    source = base64.b64encode(mp4).decode("ascii")
    return (
        f'<figure><video controls loop muted playsinline autoplay width="{size[0]}" height="{size[1]}" '
        f'src="data:video/mp4;base64,{source}"></video><figcaption>{text(caption)}</figcaption></figure>'
    )


def missing(reason: str) -> str:
    """A part of the page that could not be made."""
    return f'<p class="gap">{text(reason)}</p>'


def table(header: Sequence[object], rows: Iterable[Sequence[object]], warn: Sequence[bool] = ()) -> str:
    """A table; numbers stand on the right, and rows flagged in ``warn`` stand out."""
    head = "".join(f"<th>{text(cell)}</th>" for cell in header)
    body = []
    for index, row in enumerate(rows):
        kind = ' class="warn"' if index < len(warn) and warn[index] else ""
        cells = "".join(f"<td{_number_class(cell)}>{text(cell)}</td>" for cell in row)
        body.append(f"<tr{kind}>{cells}</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(body)}</table></div>'


def _number_class(cell: object) -> str:
    return ' class="number"' if isinstance(cell, int | float) else ""


def unfold(summary: str, content: str) -> str:
    """``content``, which is HTML, behind a line that opens it."""
    return f"<details><summary>{text(summary)}</summary>{content}</details>"


def preformatted(content: str) -> str:
    return f"<pre>{text(content)}</pre>"


def charts(titled: Iterable[tuple[str, str, str]]) -> str:
    """A grid of (title, SVG, note)."""
    blocks = [
        f'<div class="card"><h3>{text(title)}</h3>{svg}<div class="note">{text(note)}</div></div>'
        for title, svg, note in titled
    ]
    return f'<div class="charts">{"".join(blocks)}</div>'
