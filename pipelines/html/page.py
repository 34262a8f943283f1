"""The look that the toolkit's pages share: one HTML file with everything in it, legible by day and by night."""

import base64
import html
from collections.abc import Iterable, Mapping
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --faint: #66788a; --line: #d9e2ec; --card: #ffffff; --page: #f5f7fa;
        --accent: #2f6f9f; --warn: #fff8e6; --warn-line: #f0c36d }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --faint: #9aa5b1; --line: #3e4c59; --card: #1f2933;
        --page: #141b22; --accent: #7fb6dd; --warn: #3a3118; --warn-line: #8a6d1f } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.25rem 4rem; background: var(--page); color: var(--ink);
       font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.9rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem }
p.lead { color: var(--faint); margin: .25rem 0 1.5rem }
.note { background: var(--warn); border: 1px solid var(--warn-line); border-radius: .5rem; padding: .75rem 1rem }
table { border-collapse: collapse; width: 100%; background: var(--card); border-radius: .5rem; overflow: hidden }
th, td { text-align: left; padding: .5rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--faint); font-weight: 600; font-size: .85rem } td.number { text-align: right; white-space: nowrap }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem }
.card img { max-width: 100%; display: block; margin: auto }
.faint { color: var(--faint); font-size: .9rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .8rem; margin: 1.5rem 0 }
.tiles b { display: block; white-space: nowrap; font-size: 1.5rem; line-height: 1.2;
          font-variant-numeric: tabular-nums }
.tiles .card { padding: .8rem 1rem } .tiles span { color: var(--faint); font-size: .88rem }
"""


def document(title: str, lead: str, body: str, style: str = "") -> str:
    """Returns a whole page; `title` and `lead` are text, `body` is markup, `style` comes after STYLE."""
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}{style}</style><h1>{html.escape(title)}</h1>"
        f'<p class="lead">{html.escape(lead)}</p>{body}</html>\n'
    )


def section(title: str, content: str) -> str:
    """Returns a heading and its content; nothing where the content is empty."""
    return f"<h2>{html.escape(title)}</h2>{content}" if content else ""


def table(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Returns a table; numbers without digits after the point, all else as text."""
    columns = list(columns)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    lines = []
    for row in rows:
        cells = "".join(
            f'<td class="number">{row[name]:,.0f}</td>'
            if isinstance(row[name], int | float)
            else f"<td>{html.escape(str(row[name]))}</td>"
            for name in columns
        )
        lines.append(f"<tr>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def card(content: str, caption: str) -> str:
    """Returns a box of markup with a line of text below."""
    return f'<div class="card">{content}<p class="faint">{html.escape(caption)}</p></div>'


def tiles(shown: Iterable[tuple[str, str]]) -> str:
    """Returns a row of boxes, each a figure with what it is below; both are markup."""
    boxes = "".join(f'<div class="card"><b>{number}</b><span>{words}</span></div>' for number, words in shown)
    return f'<div class="tiles">{boxes}</div>'


def data_uri(data: bytes, kind: str) -> str:
    """Returns bytes of a media type as an address that holds them."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
