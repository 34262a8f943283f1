"""Voices that people could have: the controls of the speakers that `morph` offers as the ones it knows."""

from dataclasses import replace

import numpy as np

from vclip.tts.morph.controls import NAMES, Controls, from_unit, to_unit

# Men's pitch and formants as factors of women's (Peterson and Barney, 1952: 132 of 223 Hz, and about a sixth lower).
# The base voice is a woman's.
CENTRES = {"female": Controls(), "male": Controls(pitch=0.59, tract_low=0.86, tract_high=0.86)}
# In units of each range; a range holds most of what could be anyone's voice, and nobody lives at its limits.
SPREAD = 0.15
LIMITS = (0.05, 0.95)


def people(count: int, seed: int = 0) -> tuple[list[Controls], list[str]]:
    """Returns the controls and the genders of `count` voices, by turns female and male; the first ones stay the same.

    Controls other than pitch and tract are spread around the middle of their range.
    """
    rng = np.random.default_rng(seed)
    genders = [("female", "male")[i % 2] for i in range(count)]
    units = [_centre(gender) + SPREAD * rng.standard_normal(len(NAMES)) for gender in genders]
    return [from_unit(np.clip(unit, *LIMITS)) for unit in units], genders


def _centre(gender: str) -> np.ndarray:
    middle, own = from_unit(np.full(len(NAMES), 0.5)), CENTRES[gender]
    return to_unit(replace(middle, pitch=own.pitch, tract_low=own.tract_low, tract_high=own.tract_high))
