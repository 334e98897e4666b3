"""Pieces of HTML that several pages are made of; all values are text in them."""

import html
from typing import Any


def table(rows: list[tuple[Any, ...]], heads: tuple[str, ...] = ()) -> str:
    """Writes a table; all values are text."""
    head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in heads)
    lines = [
        "".join(
            f"<td>{html.escape(str(value))}</td>" if place else
            f'<th scope="row">{html.escape(str(value))}</th>'
            for place, value in enumerate(row)
        )
        for row in rows
    ]  # fmt: skip
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="wide"><table>{f"<tr>{head}</tr>" if head else ""}{body}</table></div>'


def section(title: str, body: str, also: str = "") -> str:
    """Writes a section under a heading."""
    return f"<section{also}><h2>{html.escape(title)}</h2>{body}</section>" if body else ""


def paragraph(text: str) -> str:
    """Writes a remark."""
    return f'<p class="soft">{html.escape(text)}</p>'
