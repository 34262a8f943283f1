"""The speaker table of a TTS that learned a vector for each of its speakers.

The table is a space of its own, in which only the signature of the TTS can score voices. The toolkit's speaker
vectors have unit norm, while the rows of a table do not. So a speaker is the direction of a row, and any direction is
spoken at the length of the nearest row; a known speaker is then exactly the row that the TTS learned.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank


class SpeakerTable:
    """The speaker table of a TTS.

    Args:
        tts: the spec of the TTS, for errors.
        kind: the first part of the space's name; the rest is a hash of the table.
        rows: (S, dim) float, none of them zero.
        names: (S,) the names of the speakers.
    """

    def __init__(self, tts: str, kind: str, rows: np.ndarray, names: Sequence[str]):
        self._tts, self._names = tts, np.array(names, dtype=str)
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        self._lengths = np.linalg.norm(rows, axis=1)
        if len(rows) < 2 or not np.isfinite(rows).all() or not self._lengths.all():
            raise InputError(f"tts '{tts}': expected a table of two or more finite speaker vectors")
        self._directions = rows / self._lengths[:, None]
        self.dim = rows.shape[1]
        self.space = f"{kind}/{hashlib.sha256(rows.tobytes()).hexdigest()[:12]}-{self.dim}"

    def row(self, speaker: np.ndarray) -> np.ndarray:
        """Returns the vector (dim,) float32 to give to the TTS for a speaker (dim,).

        Raises:
            InputError: the speaker has another size, is not finite or is zero.
        """
        speaker = unit_speaker(speaker, self.dim, self._tts, self.space)
        return speaker * self._lengths[np.argmax(self._directions @ speaker)]

    def bank(self, count: int) -> SpeakerBank:
        """Returns the first `count` speakers, or all of them; their genders are unknown."""
        names = self._names[:count]
        return SpeakerBank(self.space, names, self._directions[:count], np.full(len(names), "", dtype=str))


def unit_speaker(speaker: np.ndarray, dim: int, tts: str, space: str) -> np.ndarray:
    """Returns a speaker vector (dim,) float32 scaled to unit norm.

    Raises:
        InputError: the vector has another size, is not finite or is zero.
    """
    speaker = np.asarray(speaker, dtype=np.float32)
    if speaker.shape != (dim,):
        raise InputError(f"speaker vector of shape {speaker.shape}: {tts} takes shape ({dim},), in the space {space}")
    norm = np.linalg.norm(speaker)
    if not np.isfinite(norm) or norm == 0:
        raise InputError(
            f"speaker vector of norm {norm}: {tts} takes finite vectors of unit norm, in the space {space}"
        )
    return speaker / norm
