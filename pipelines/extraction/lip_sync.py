"""Whether a face's lips move with the sound: the backend that needs no network.

Two signals of the lips, how fast they open and how dark the mouth is (which is how far it is open), are correlated
with the loudness of four bands of the sound at shifts of up to 0.16 s, over windows of a few seconds. A logistic
regression turns the correlations into a log-likelihood ratio. Files carry their sound some pictures early or late;
so the ratio is taken at every offset up to 0.2 s and averaged over a belief about the offset, which all windows of a
track share. Cross-validated over 54 identities, a 3 s window of a talking face with its own sound is told from one
with another's with an area under the ROC curve of 0.84 (0.75 without the offsets, 0.79 with two bands).

Lips that hardly move under speech are evidence against, whatever the correlations say: a listener, a still portrait
that pans and zooms.
"""

import itertools

import numpy as np

from pipelines.extraction.config import SpeakingConfig
from pipelines.extraction.decode import SAMPLE_RATE_HZ
from pipelines.extraction.lips import SIGNALS
from pipelines.extraction.tracks import Track
from vclip.errors import InputError

RATE_HZ = 25.0  # the pictures a second for which the coefficients are
BANDS_HZ = ((100, 560), (560, 1120), (1120, 2270), (2270, 7600))
SHIFTS = np.arange(-4, 5)  # pictures, of the sound after the lips
OFFSETS = np.arange(-5, 6)  # pictures, by which a file's sound may lag its pictures
# Standard deviation of what is believed of a file's offset; of 93 clips all but 8 lay within 2 pictures.
OFFSET_SPREAD = 2.5
MARGIN = int(SHIFTS[-1] + OFFSETS[-1])
SLOW = 25  # pictures; changes slower than these are taken out of loudness and darkness
SPECTRUM, HOP = 640, 160  # samples
QUIET = 1e-3  # power a spectral line; keeps silence from having large changes of loudness
LONGEST_FREEZE = 5  # pictures; what repeats for longer is a still, not a source of few pictures a second

# Speed of opening that noise, recoding and resampling give lips at rest: faces of 30 to 220 pixels in drifting stills
# measured 0.14 to 0.02 patch pixels a picture, talking ones 0.09 and more.
REST_SPEED, REST_SPEED_PX = 0.01, 3.0
# Activity counts against a face below this many doublings of the speed at rest, and for it hardly.
ACTIVE_DOUBLINGS, PER_DOUBLING, MOST_FOR = 1.2, 3.0, 0.5

INTERCEPT = -2.3
# (shift, lip signal, band): what a correlation adds, as `lip_sync_fit` finds it on the clips that the project is
# developed with. Lips open first, the sound follows 0.04 to 0.12 s later.
WEIGHTS = np.array(
    [
        [[-1.3, -1.1, -0.9, -0.7], [1.4, -0.3, -0.6, -1.2]],
        [[-0.3, -0.6, 0.3, 0.4], [0.7, -0.1, 0.2, -0.4]],
        [[0.6, -0.2, 0.6, -1.1], [0.0, -0.1, 0.7, 0.6]],
        [[-1.2, -2.1, -2.3, -2.7], [-0.2, 0.3, 1.0, 0.6]],
        [[-0.8, -0.3, -1.1, -1.9], [-0.5, 0.5, 0.8, 0.0]],
        [[0.4, 1.7, 1.3, 0.2], [-0.6, 0.5, 0.6, -0.6]],
        [[0.7, 1.4, 2.2, 1.3], [-0.4, 0.1, 0.4, -0.7]],
        [[0.4, 0.4, 1.3, 0.3], [0.1, 0.2, 0.4, -0.5]],
        [[-2.0, -1.2, -1.4, -0.7], [0.2, 0.3, 0.5, -0.3]],
    ]
)


def lip_evidence(track: Track, sound: np.ndarray, rate_hz: float, config: SpeakingConfig) -> np.ndarray:
    """Returns the log-likelihood ratio of "heard" to "only visible" per picture of a track, (pictures,) float64.

    Args:
        track: the face.
        sound: (samples,) int16 at 16 kHz, of the whole video.
        rate_hz: pictures per second.
        config: window and hop.

    Raises:
        InputError: the pictures come at another rate than RATE_HZ.
    """
    if rate_hz != RATE_HZ:
        raise InputError(f"media.rate_hz = {rate_hz:g}: the evidence of the lips is made for {RATE_HZ:g}")
    lips, loudness = lip_signals(track), band_loudness(sound, track.first, track.end)
    width, hop = round(config.window_s * rate_hz), max(1, round(config.hop_s * rate_hz))
    last = max(0, len(track) - width)
    windows = [(start, min(start + width, len(track))) for start in [*range(0, last, hop), last]]
    synced = over_offsets(np.array([sync_ratios(lips, loudness, *window) for window in windows]), len(track) / width)
    face_px = float(np.median(track.boxes[:, 2] - track.boxes[:, 0]))
    total, weight = np.zeros(len(track)), np.full(len(track), 1e-9)
    for (start, end), value in zip(windows, synced, strict=True):
        # Nearer windows count more, each reaching half its width beyond itself: single windows err by chance.
        middle, reach = (start + end) / 2, end - start
        rows = np.arange(max(0, start - reach // 2), min(len(track), end + reach // 2))
        share = np.cos(np.pi / 2 * np.clip((rows + 0.5 - middle) / reach, -1, 1)) ** 2
        total[rows] += share * (value + activity_ratio(lips[start:end, 0], face_px))
        weight[rows] += share
    return total / weight


def lip_signals(track: Track) -> np.ndarray:
    """Returns (pictures, 2): speed of opening, in patch pixels a picture, and darkness less its slow changes.

    The motion found in a picture that follows repeated ones is shared out among them all.
    """
    opening, darkness = (
        track.lips[:, SIGNALS.index("opening")].astype(float),
        track.lips[:, SIGNALS.index("darkness")],
    )
    opening[0] = 0.0
    moved = np.flatnonzero(~np.isnan(opening))
    for before, this in itertools.pairwise(moved):
        if 1 < this - before <= LONGEST_FREEZE + 1:
            opening[before + 1 : this + 1] = opening[this] / (this - before)
    return np.stack([np.nan_to_num(opening), without_slow(darkness[:, None].astype(float))[:, 0]], axis=1)


def band_loudness(sound: np.ndarray, first: int, end: int) -> np.ndarray:
    """Returns the log power of each band less its slow changes, (MARGIN + pictures + MARGIN, bands).

    Args:
        sound: (samples,) int16 at 16 kHz. What lies outside it counts as silence.
        first, end: the pictures.
    """
    per_picture = round(SAMPLE_RATE_HZ / RATE_HZ)
    pictures = end - first + 2 * MARGIN
    # Four spectra a picture, centred on it.
    start = (first - MARGIN) * per_picture - (SPECTRUM - HOP) // 2
    count = pictures * per_picture // HOP
    samples = np.zeros((count - 1) * HOP + SPECTRUM, np.float32)
    low, high = max(start, 0), min(start + len(samples), len(sound))
    if low < high:
        samples[low - start : high - start] = sound[low:high] / np.float32(32768)
    spectra = np.lib.stride_tricks.sliding_window_view(samples, SPECTRUM)[::HOP]
    power = np.abs(np.fft.rfft(spectra * np.hanning(SPECTRUM).astype(np.float32), axis=1)) ** 2
    hz = np.fft.rfftfreq(SPECTRUM, 1 / SAMPLE_RATE_HZ)
    bands = [np.log(power[:, (hz >= low) & (hz < high)].mean(1) + QUIET) for low, high in BANDS_HZ]
    return without_slow(np.stack(bands, axis=1).reshape(pictures, -1, len(BANDS_HZ)).mean(1))


def without_slow(signal: np.ndarray) -> np.ndarray:
    """Returns (pictures, columns) less its moving average over SLOW pictures."""
    ones = np.ones(min(SLOW, len(signal)))
    counts = np.convolve(np.ones(len(signal)), ones, "same")
    return signal - np.stack([np.convolve(column, ones, "same") / counts for column in signal.T], axis=1)


def sync_correlations(lips: np.ndarray, loudness: np.ndarray, start: int, end: int) -> np.ndarray:
    """Returns the correlations of one window at each offset, (offsets, shifts, 2, bands)."""
    own = _unit(lips[start:end])
    lags = range(OFFSETS[0] + SHIFTS[0], OFFSETS[-1] + SHIFTS[-1] + 1)
    each = np.array([own.T @ _unit(loudness[start + MARGIN + lag : end + MARGIN + lag]) for lag in lags])
    return np.array([each[i : i + len(SHIFTS)] for i in range(len(OFFSETS))])


def sync_ratios(lips: np.ndarray, loudness: np.ndarray, start: int, end: int) -> np.ndarray:
    """Returns the log-likelihood ratio of one window at each offset, (offsets,)."""
    correlations = sync_correlations(lips, loudness, start, end)
    return INTERCEPT + (correlations * WEIGHTS).sum(axis=(1, 2, 3))


def over_offsets(ratios: np.ndarray, lengths: float) -> np.ndarray:
    """Returns each window's ratio averaged over what all windows together say of the offset.

    Args:
        ratios: (windows, offsets) log-likelihood ratios.
        lengths: how many windows fit the track without overlap; overlapping ones repeat themselves.
    """
    belief = -0.5 * (OFFSETS / OFFSET_SPREAD) ** 2
    if len(ratios) > 1:
        belief = belief + (ratios.mean(0) - ratios.mean(0).max()) * max(0.0, lengths - 1)
    belief = np.exp(belief - belief.max())
    return np.log(np.exp(ratios) @ (belief / belief.sum()))


def activity_ratio(opening: np.ndarray, face_px: float) -> float:
    """Returns the log-likelihood ratio that the lips' speed of opening alone gives.

    Args:
        opening: (pictures,) patch pixels a picture.
        face_px: the face's width in the analysis picture.
    """
    rest = REST_SPEED + REST_SPEED_PX / face_px
    doublings = np.log2(np.sqrt(np.mean(opening**2)) / rest + 1e-6)
    return float(min(MOST_FOR, PER_DOUBLING * (doublings - ACTIVE_DOUBLINGS)))


def _unit(signal: np.ndarray) -> np.ndarray:
    signal = signal - signal.mean(0)
    return signal / (np.linalg.norm(signal, axis=0) + 1e-9)
