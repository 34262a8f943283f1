"""Clips that are near-identical in face and voice: one recording, cut or encoded twice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.progress import step
from vclip.association.leaks import near_bound, near_identical


@dataclass(frozen=True)
class Duplicate:
    """Two clips that are near-identical."""

    clip_id: str
    other: str
    face: float  # cosine of their faces
    voice: float  # cosine of their voices


def near_duplicates(clip_ids: Sequence[str], faces: np.ndarray, voices: np.ndarray) -> list[Duplicate]:
    """The pairs of clips whose faces and voices are both near-identical, the most similar first.

    Near-identical is what `vclip.association.leaks` takes for one image or one recording. Every clip is compared with
    every other, so time grows with the square of their number.

    Args:
        clip_ids: of C clips.
        faces: (C, d_face) float32, unit norm.
        voices: (C, d_voice) float32, unit norm.
    """
    found, bound = [], near_bound(voices, voices)
    with step("looking for near-duplicates", len(clip_ids), "clips") as looking:
        for row, other, face in near_identical(faces, faces):  # a row also matches itself, unless it is zero
            if row > looking.done:
                looking.set(row)
            if row < other and (voice := float(voices[row] @ voices[other])) >= bound:
                found.append(Duplicate(clip_ids[row], clip_ids[other], face, voice))
        looking.set(len(clip_ids))
    return sorted(found, key=lambda pair: -(pair.face + pair.voice))
