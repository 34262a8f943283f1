"""The controls of the `morph` voice, the ranges within which it stays intelligible, and plausible voices."""

from dataclasses import dataclass, fields, replace

import numpy as np

from vclip.errors import InputError


@dataclass(frozen=True)
class Controls:
    """The difference of a voice from the base voice; the defaults leave the base voice unchanged.

    Attributes:
        pitch: factor on the mean pitch.
        pitch_range: factor on the deviation of log pitch from its mean.
        tract_low: factor on the frequency of formants below 1.5 kHz; a longer vocal tract has lower formants.
        tract_high: factor on the frequency of formants above 6 kHz; in between, the factor changes gradually.
        tilt_db: half of the difference in level between 8 kHz and 0 Hz.
        shape2_db, shape3_db, shape4_db, shape5_db: waves of the spectrum over the mel scale, from slow to fast.
        formant_depth: factor on the log power of peaks and valleys around the smoothed spectrum.
        breath_db: gain of the noise in voiced frames.
        tempo: factor on the speed.
    """

    pitch: float = 1.0
    pitch_range: float = 1.0
    tract_low: float = 1.0
    tract_high: float = 1.0
    tilt_db: float = 0.0
    shape2_db: float = 0.0
    shape3_db: float = 0.0
    shape4_db: float = 0.0
    shape5_db: float = 0.0
    formant_depth: float = 1.0
    breath_db: float = 0.0
    tempo: float = 1.0


NAMES = tuple(field.name for field in fields(Controls))
# On a log scale.
FACTORS = ("pitch", "pitch_range", "tract_low", "tract_high", "formant_depth", "tempo")

# Pocketsphinx recognises .88 of the words of 40 voices drawn from all ranges at once (.71 of the worst voice), and
# .88 of the base voice. More controls (three finer waves, the first formant alone, a shaking pitch) came no nearer to
# real speakers: cosine .771 with 1024 draws, against .777 for these twelve with 2048.
RANGES: dict[str, tuple[float, float]] = {
    "pitch": (0.36, 1.35),
    "pitch_range": (0.30, 1.70),
    "tract_low": (0.76, 1.10),
    "tract_high": (0.76, 1.15),
    "tilt_db": (-14.0, 14.0),
    "shape2_db": (-9.0, 9.0),
    "shape3_db": (-8.0, 8.0),
    "shape4_db": (-7.0, 7.0),
    "shape5_db": (-6.0, 6.0),
    "formant_depth": (0.60, 1.60),
    "breath_db": (-8.0, 10.0),
    "tempo": (0.80, 1.25),
}


def from_unit(unit: np.ndarray) -> Controls:
    """Returns the controls at a point (len(NAMES),) of the unit cube, in which RANGES go from 0 to 1.

    Raises:
        InputError: the point has another size or lies outside the cube.
    """
    unit = np.asarray(unit, dtype=np.float64)
    if unit.shape != (len(NAMES),) or not np.all((unit >= 0) & (unit <= 1)):
        raise InputError(f"controls of shape {unit.shape}: expected {len(NAMES)} numbers from 0 to 1")
    low, high = _bounds()
    values = low + unit * (high - low)
    return Controls(**{n: float(np.exp(v) if n in FACTORS else v) for n, v in zip(NAMES, values, strict=True)})


def to_unit(controls: Controls) -> np.ndarray:
    """Returns the point (len(NAMES),) float64 of the unit cube for these controls; the inverse of `from_unit`."""
    low, high = _bounds()
    values = [np.log(getattr(controls, n)) if n in FACTORS else getattr(controls, n) for n in NAMES]
    return (np.array(values) - low) / (high - low)


# Pitch and formants of men as factors of those of women (Peterson and Barney, 1952: 132 of 223 Hz, and about a
# sixth lower). The base voice is a woman's.
CENTRES = {"female": Controls(), "male": Controls(pitch=0.59, tract_low=0.86, tract_high=0.86)}
# In units of each range; the ranges are wide, and voices at their limits are implausible.
SPREAD = 0.15
LIMITS = (0.05, 0.95)


def known_speakers(count: int, seed: int = 0) -> tuple[list[Controls], list[str]]:
    """Returns the controls and the genders of morph's known speakers: plausible voices, alternately female and male.

    Pitch and tract are spread around those of the gender, the other controls around the middle of their ranges. A
    larger `count` adds voices and leaves the first ones unchanged.
    """
    rng = np.random.default_rng(seed)
    genders = [("female", "male")[i % 2] for i in range(count)]
    units = [_centre(gender) + SPREAD * rng.standard_normal(len(NAMES)) for gender in genders]
    return [from_unit(np.clip(unit, *LIMITS)) for unit in units], genders


def _centre(gender: str) -> np.ndarray:
    middle, own = from_unit(np.full(len(NAMES), 0.5)), CENTRES[gender]
    return to_unit(replace(middle, pitch=own.pitch, tract_low=own.tract_low, tract_high=own.tract_high))


def _bounds() -> tuple[np.ndarray, np.ndarray]:
    bounds = np.array([np.log(RANGES[n]) if n in FACTORS else RANGES[n] for n in NAMES])
    return bounds[:, 0], bounds[:, 1]
