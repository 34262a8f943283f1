"""The page that listeners get: one file, which asks nothing of any network and does not know what made its sounds."""

import json
from collections.abc import Mapping
from pathlib import Path

from pipelines.html.page import STYLE, data_uri

STATIC = Path(__file__).parent / "static"
SCALE = (1, 2, 3, 4, 5)

# Absolute category rating (ITU-T P.800), five categories, the best first.
QUESTIONS = {
    "naturalness": {
        "asks": "How natural does this speech sound?",
        "before": "You hear speech, without a picture. Some may be recorded, some made by a computer. Judge how "
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
    """Returns the page.

    Args:
        test: its name, which answers must bear.
        items: name -> picture (JPEG) and sound (FLAC). They are written in the order of their names.
    """
    told = {
        "test": test,
        "questions": QUESTIONS,
        "items": [
            {
                "id": name,
                "face": data_uri(items[name][0], "image/jpeg"),
                "sound": data_uri(items[name][1], "audio/flac"),
            }
            for name in sorted(items)
        ],
    }
    parts = {
        "STYLE": STYLE + (STATIC / "page.css").read_text(encoding="utf-8"),
        "DATA": json.dumps(told).replace("<", "\\u003c"),
        "SCRIPT": (STATIC / "page.js").read_text(encoding="utf-8"),
    }
    whole = (STATIC / "page.html").read_text(encoding="utf-8")
    for name, content in parts.items():
        whole = whole.replace(f"@@{name}@@", content)
    return whole
