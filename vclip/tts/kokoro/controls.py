"""The controls of a `kokoro` voice, and the ranges within which it stays intelligible."""

from dataclasses import dataclass

import numpy as np

from vclip.errors import InputError

N_TIMBRE, N_PROSODY, N_COLOUR = 20, 6, 5


@dataclass(frozen=True)
class Controls:
    """A voice of kokoro; the defaults, at the mean of the voice packs, leave speech unchanged but for the pitch.

    Attributes:
        timbre: (N_TIMBRE,) components of the decoder's half of the style, in standard deviations of the packs.
        prosody: (N_PROSODY,) components of the predictor's half of the style, likewise.
        pitch_hz: the mean pitch of each sentence.
        pitch_range: factor on the deviation of log pitch from its mean.
        tract: factor on the frequency of formants; a longer vocal tract has lower formants.
        tempo: factor on the speed.
        colour_db: (N_COLOUR,) waves of the spectrum over the mel scale, from slow to fast.
    """

    timbre: tuple[float, ...] = (0.0,) * N_TIMBRE
    prosody: tuple[float, ...] = (0.0,) * N_PROSODY
    pitch_hz: float = 150.0
    pitch_range: float = 1.0
    tract: float = 1.0
    tempo: float = 1.0
    colour_db: tuple[float, ...] = (0.0,) * N_COLOUR


RANGES: dict[str, tuple[float, float]] = {
    **{f"timbre_{i}": (-2.3, 2.3) for i in range(1, N_TIMBRE + 1)},
    **{f"prosody_{i}": (-2.3, 2.3) for i in range(1, N_PROSODY + 1)},
    "pitch_hz": (70.0, 320.0),
    "pitch_range": (0.6, 1.5),
    "tract": (0.84, 1.18),
    "tempo": (0.75, 1.35),
    "colour_1_db": (-10.0, 10.0),
    "colour_2_db": (-7.0, 7.0),
    "colour_3_db": (-6.0, 6.0),
    "colour_4_db": (-5.0, 5.0),
    "colour_5_db": (-4.0, 4.0),
}
NAMES = tuple(RANGES)
PITCH, TRACT = NAMES.index("pitch_hz"), NAMES.index("tract")
IS_FACTOR = np.array([name in ("pitch_hz", "pitch_range", "tract", "tempo") for name in NAMES])  # on a log scale


def bounds() -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and the highest value (len(NAMES),) float64 of each control; factors as logarithms."""
    limits = np.array(list(RANGES.values()))
    limits[IS_FACTOR] = np.log(limits[IS_FACTOR])
    return limits[:, 0], limits[:, 1]


def from_unit(unit: np.ndarray) -> Controls:
    """Returns the controls at a point (len(NAMES),) of the unit cube, in which RANGES go from 0 to 1.

    Raises:
        InputError: the point has another size or lies outside the cube.
    """
    unit = np.asarray(unit, dtype=np.float64)
    if unit.shape != (len(NAMES),) or not np.all((unit >= 0) & (unit <= 1)):
        raise InputError(f"controls of shape {unit.shape}: expected {len(NAMES)} numbers from 0 to 1")
    low, high = bounds()
    values = low + unit * (high - low)
    values[IS_FACTOR] = np.exp(values[IS_FACTOR])
    parts = np.split(values, np.cumsum([N_TIMBRE, N_PROSODY, 1, 1, 1, 1]))
    timbre, prosody, pitch_hz, pitch_range, tract, tempo, colour_db = (tuple(part.tolist()) for part in parts)
    return Controls(timbre, prosody, pitch_hz[0], pitch_range[0], tract[0], tempo[0], colour_db)


def to_unit(controls: Controls) -> np.ndarray:
    """Returns the point (len(NAMES),) float64 of the unit cube for these controls; the inverse of `from_unit`."""
    low, high = bounds()
    factors = (controls.pitch_hz, controls.pitch_range, controls.tract, controls.tempo)
    values = np.array([*controls.timbre, *controls.prosody, *np.log(factors), *controls.colour_db])
    return (values - low) / (high - low)
