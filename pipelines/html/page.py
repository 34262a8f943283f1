"""Self-contained HTML pages: a Jinja2 template and the stylesheet become one file that loads nothing else.

Templates are filled with results (dataclasses or parsed JSON). Everything is escaped, except the SVG charts of
`pipelines.html.charts`.
"""

import base64
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines import wording

FOLDER = Path(__file__).parent
STYLE = (FOLDER / "style.css").read_text(encoding="utf-8")
GREY = "#7a8a99"
COLOURS = ("#3b7dae", "#45a598", "#e0a53c", "#cf6a55", "#8d74b8", GREY, "#b5739a", "#6f9a3e")


def render(template: str, **values: Any) -> str:
    """The text of a page.

    Args:
        template: name of a file in `templates/`. Values are escaped in .html files, not in .md files.
        values: the variables of the template; all are required.
    """
    return _environment().get_template(template).render(**values)


def data_uri(content: bytes, media_type: str) -> str:
    """The content as a data URI, `data:image/jpeg;base64,...`."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def thumbnail(jpeg: bytes, side_px: int = 96) -> bytes:
    """The image shrunk to a square JPEG; empty if it cannot be decoded."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        return b""
    small = cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals |= {"style": Markup(STYLE), "colours": COLOURS}
    environment.filters |= {
        "data_uri": data_uri,
        "plural": wording.plural,
        "count": wording.count,
        "number": wording.number,
        "percent": wording.percent,
        "seconds": lambda time_s: wording.seconds(time_s).replace(" ", "\u00a0"),  # no line begins with a unit
        "moment": wording.moment,
        "file_name": lambda uri: uri.replace("\\", "/").rsplit("/", 1)[-1],
        "markdown": _markdown,
        "fence": _fence,
        "shell": lambda path: shlex.quote(str(path)),
    }
    return environment


def _markdown(text: object) -> str:
    """Text on one line of Markdown, escaped so that it opens no tag, table cell or line."""
    if isinstance(text, int | float):
        return wording.number(text)
    line = " ".join(str(text).split())
    for character, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("|", "\\|")):
        line = line.replace(character, escaped)
    return line


def _fence(text: str) -> str:
    """A fence of backticks that does not occur in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return fence
