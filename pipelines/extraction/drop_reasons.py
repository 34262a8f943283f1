"""What became of a candidate, in words for people; the names are those of the funnel."""

from pipelines.extraction.types import KEPT

WORDS = {
    KEPT: "kept",
    "not_speaking": "the lips do not move with the speech",
    "too_short": "too short",
    "little_speech": "too little speech",
    "low_snr": "too noisy",
    "small_face": "the face is too small",
    "low_quality": "the face is blurred, turned away or badly lit",
    "not_seekable": "the pictures cannot be read again",
    "two_voices": "too short a rest beside another voice",
    "overlapped_speech": "two people speak at once",
    "no_face": "no face in the picture",
    "silent": "no sound in the file",
}


def in_words(fate: str) -> str:
    """Returns a fate in words; one that has none yet as its own name, without underscores."""
    return WORDS.get(fate, fate.replace("_", " "))
