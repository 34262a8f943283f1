"""Drop reasons in words for people. The keys are those of the funnel, as stored in the table `videos`."""

from pipelines.extraction.types import KEPT

WORDS = {
    KEPT: "kept",
    "not_speaking": "the lips do not move with the speech",
    "too_short": "too short",
    "little_speech": "too little speech",
    "low_snr": "too noisy",
    "small_face": "the face is too small",
    "low_quality": "the face is blurred, turned away or badly lit",
    "not_seekable": "the frames could not be read again at full resolution",
    "two_voices": "too short after a split where the speaker changes",
    "overlapped_speech": "two people speak at once",
    "no_face": "no face in the image",
    "silent": "the audio is silent",
}


def in_words(outcome: str) -> str:
    """Returns an outcome in words, or its own name with spaces where it has no words yet.

    Example:
        >>> in_words("low_snr")
        'too noisy'
    """
    return WORDS.get(outcome, outcome.replace("_", " "))
