"""Made-up inputs of encoders and TTS backends: face crops and utterances."""

import numpy as np


def crops(count: int, seed: int = 0) -> list[np.ndarray]:
    """Returns face crops (side, side, 3) uint8 RGB of several sizes: smooth noise, different in each crop."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        side = (48, 96, 150, 256)[number % 4]
        grid = rng.integers(0, 256, (8, 8, 3)).astype(np.float64)
        at = np.linspace(0, 7, side)
        low = np.floor(at).astype(int).clip(max=6)
        share = at - low
        rows = grid[low] * (1 - share)[:, None, None] + grid[low + 1] * share[:, None, None]
        columns = rows[:, low] * (1 - share)[None, :, None] + rows[:, low + 1] * share[None, :, None]
        made.append(columns.round().astype(np.uint8))
    return made


def utterances(count: int, sample_rate_hz: int, seed: int = 0) -> list[np.ndarray]:
    """Returns utterances (samples,) float32 in -1..1, 0.6 to 4 s long: harmonics in syllables."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        t_s = np.arange(int((0.6, 1.5, 4.0)[number % 3] * sample_rate_hz)) / sample_rate_hz
        pitch_hz = rng.uniform(80, 300)
        strengths = rng.uniform(0.1, 1, 20) / np.arange(1, 21)
        wave = sum(a * np.sin(2 * np.pi * pitch_hz * k * t_s) for k, a in enumerate(strengths, 1))
        wave = wave * (0.55 + 0.45 * np.sin(2 * np.pi * 4 * t_s)) + 0.01 * rng.standard_normal(len(t_s))
        made.append((0.3 * wave / np.abs(wave).max()).astype(np.float32))
    return made
