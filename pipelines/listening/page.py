"""The page for listeners: one file that loads nothing from a network and does not name the systems behind its audio.

The page is `static/page.html`, a Jinja2 template; its data and script are JSON and JavaScript, escaped for HTML.
"""

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pipelines.html.page import STYLE, data_uri

STATIC = Path(__file__).parent / "static"
SCALE = (1, 2, 3, 4, 5)

# Absolute category rating (ITU-T P.800), five categories, the best first.
QUESTIONS = {
    "naturalness": {
        "asks": "How natural does this speech sound?",
        "before": "You hear speech, without a face. Some may be recorded, some made by a computer. Judge how "
        "natural it sounds, not what is said.",
        "scale": [
            "Excellent: completely natural",
            "Good: mostly natural",
            "Fair: equally natural and unnatural",
            "Poor: mostly unnatural",
            "Bad: completely unnatural",
        ],
    },
    "matching": {
        "asks": "How well does this voice suit this face?",
        "before": "You see a face and hear a voice. Judge how well the voice suits the face, not how natural it "
        "sounds. There is no right answer.",
        "scale": ["Excellent: very well", "Good: well", "Fair: could be", "Poor: hardly", "Bad: not at all"],
    },
}


def page(test: str, items: Mapping[str, tuple[bytes, bytes]]) -> str:
    """Returns the HTML of the page.

    Args:
        test: the name of the test, which answers must carry.
        items: name -> image (JPEG) and audio (FLAC); written in the order of their names.
    """
    data = {
        "test": test,
        "questions": QUESTIONS,
        "items": [
            {
                "id": name,
                "face": data_uri(items[name][0], "image/jpeg"),
                "audio": data_uri(items[name][1], "audio/flac"),
            }
            for name in sorted(items)
        ],
    }
    template = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True).from_string(
        (STATIC / "page.html").read_text(encoding="utf-8")
    )
    return template.render(
        style=Markup(STYLE + (STATIC / "page.css").read_text(encoding="utf-8")),
        data=data,
        script=Markup((STATIC / "page.js").read_text(encoding="utf-8")),
    )
