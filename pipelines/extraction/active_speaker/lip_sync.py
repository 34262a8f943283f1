"""Whether a face's lips move with the audio: the active-speaker backend that needs no network.

How fast the lips open and how dark the mouth is (which tells how far it is open) predict, by a linear regression over
half a second, the loudness of four bands of the audio. Over windows of a few seconds the prediction is correlated
with the measured loudness, and a logistic regression turns the correlations into a log-likelihood ratio. Audio and
video of a file may be offset by some frames, so the ratio is taken at every offset up to 0.2 s and averaged over a
probability of the offset, which all windows of a track share.

Lips that hardly move under speech are evidence against, whatever the correlations say: a listener, a still portrait
that pans and zooms.

`tools/fit_lip_sync.py` fitted the coefficients on the clips of 32 people from the development data, composed into
noisy videos. Cross-validated over people, the area under the ROC curve is 0.82 for 3 s windows of a talking face
under its own audio, down to 0 dB of noise, against the same face under another person's.
"""

import itertools

import numpy as np

from pipelines.extraction.active_speaker.base import Backend
from pipelines.extraction.active_speaker.lip_motion import SIGNALS
from pipelines.extraction.config import ActiveSpeakerConfig
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.video.audio_file import release_pages
from pipelines.extraction.video.decode import SAMPLE_RATE_HZ
from vclip.errors import InputError

RATE_HZ = 25.0  # frame rate of the coefficients
BANDS_HZ = ((100, 560), (560, 1120), (1120, 2270), (2270, 7600))
OFFSETS = np.arange(-5, 6)  # frames by which the audio of a file may lag
OFFSET_SPREAD = 2.5  # standard deviation of the prior over a file's offset, in frames
MARGIN = int(OFFSETS[-1])
CONTEXT = 6  # frames to each side from which the lips predict the audio
SLOW = 25  # frames; slower changes of loudness and darkness are removed
SPECTRUM, HOP = 640, 160  # samples
SPECTRA = 4096  # taken at a time, so that memory does not grow with the track
QUIET = 1e-3  # power per spectral line; without it silence would have large changes of loudness
LONGEST_FREEZE = 5  # frames; a frame repeated for longer is a still, not a source of a low rate

# Apparent opening speed of lips at rest, from noise, recoding and resampling: faces of 30 to 220 pixels in drifting
# stills measured 0.14 to 0.02 patch pixels per frame, talking faces 0.09 and more.
REST_SPEED, REST_SPEED_PX = 0.01, 3.0
# Activity below this many doublings of the speed at rest counts against a face; above, it counts little for it.
ACTIVE_DOUBLINGS, PER_DOUBLING, MOST_FOR = 1.2, 2.1, 0.35
ACTIVE_S = 2.0  # the speed is averaged over this time

# Correlation of each band -> log-likelihood ratio, and the calibration after averaging over offsets.
WEIGHTS, INTERCEPT, CALIBRATION = np.array([0.02, 3.15, 4.49, 3.44]), -1.69, (0.92, 0.06)
# (frame from CONTEXT before to CONTEXT after) x (opening, darkness) -> bands. Lips open before the audio gets loud.
PREDICTION = np.array(
    [
        [-0.007, 0.001, 0.005, 0.005],
        [0.000, 0.006, 0.011, 0.008],
        [-0.013, -0.001, 0.005, -0.004],
        [-0.006, -0.003, -0.006, 0.004],
        [0.012, 0.023, 0.024, 0.004],
        [-0.016, 0.004, 0.002, 0.003],
        [0.038, 0.047, 0.042, 0.022],
        [-0.025, -0.035, -0.036, -0.030],
        [0.064, 0.085, 0.078, 0.041],
        [-0.013, -0.046, -0.063, -0.041],
        [0.052, 0.086, 0.091, 0.078],
        [0.032, 0.038, 0.022, 0.024],
        [0.005, 0.040, 0.035, 0.017],
        [0.058, 0.095, 0.090, 0.068],
        [-0.054, -0.084, -0.096, -0.092],
        [0.018, 0.047, 0.046, 0.014],
        [-0.071, -0.116, -0.112, -0.100],
        [-0.029, -0.008, -0.011, -0.033],
        [-0.045, -0.064, -0.055, -0.044],
        [-0.032, -0.029, -0.026, -0.019],
        [-0.022, -0.029, -0.022, 0.005],
        [0.018, -0.007, -0.007, -0.003],
        [-0.016, -0.028, -0.023, -0.006],
        [0.030, 0.017, 0.018, 0.018],
        [0.002, -0.015, -0.009, 0.017],
        [0.019, 0.013, 0.016, -0.000],
    ]
)


def lip_sync() -> Backend:
    """Returns the backend that needs no network."""
    return Backend(lip_evidence)


def lip_evidence(track: Track, audio: np.ndarray, rate_hz: float, config: ActiveSpeakerConfig) -> np.ndarray:
    """Returns the log-likelihood ratio of "speaking" to "only visible" per frame of a track, (frames,) float64.

    Args:
        track: the face.
        audio: (samples,) int16 at 16 kHz, of the whole video.
        rate_hz: frames per second.
        config: `window_s` and `hop_s`.

    Raises:
        InputError: `rate_hz` is not RATE_HZ.
    """
    return sync_evidence(track, audio, rate_hz, config) + activity_evidence(track)


def sync_evidence(track: Track, audio: np.ndarray, rate_hz: float, config: ActiveSpeakerConfig) -> np.ndarray:
    """Returns the part of `lip_evidence` that comes from the correlation of lips and audio; arguments as there."""
    if rate_hz != RATE_HZ:
        raise InputError(f"media.rate_hz = {rate_hz:g}: the lip-sync coefficients were fitted at {RATE_HZ:g}")
    predicted = lip_features(track) @ PREDICTION
    loudness = band_loudness(audio, track.first, track.end)
    width, hop = round(config.window_s * rate_hz), max(1, round(config.hop_s * rate_hz))
    last = max(0, len(track) - width)
    windows = [(start, min(start + width, len(track))) for start in [*range(0, last, hop), last]]
    ratios = np.array([window_ratios(predicted[a:b], loudness[a : b + 2 * MARGIN]) for a, b in windows])
    active = 1 / (1 + np.exp(-1 - activity_evidence(track)))
    share = np.array([active[a:b].mean() for a, b in windows])
    synced = CALIBRATION[0] * average_over_offsets(ratios, share, len(track) / width) + CALIBRATION[1]
    total, weight = np.zeros(len(track)), np.full(len(track), 1e-9)
    for (start, end), value in zip(windows, synced, strict=True):
        # Nearer windows count more, each reaching half its width beyond itself: single windows err by chance.
        middle, reach = (start + end) / 2, end - start
        rows = np.arange(max(0, start - reach // 2), min(len(track), end + reach // 2))
        nearness = np.cos(np.pi / 2 * np.clip((rows + 0.5 - middle) / reach, -1, 1)) ** 2
        total[rows] += nearness * value
        weight[rows] += nearness
    return total / weight


def activity_evidence(track: Track) -> np.ndarray:
    """Returns the part of `lip_evidence` that comes from the opening speed alone, (frames,)."""
    speed = np.sqrt(running_mean(lip_signals(track)[:, 0] ** 2, round(ACTIVE_S * RATE_HZ)))
    rest = REST_SPEED + REST_SPEED_PX / float(np.median(track.boxes[:, 2] - track.boxes[:, 0]))
    return np.minimum(MOST_FOR, PER_DOUBLING * (np.log2(speed / rest + 1e-6) - ACTIVE_DOUBLINGS))


def lip_features(track: Track) -> np.ndarray:
    """Returns the two lip signals, standardised, of each frame and CONTEXT frames to each side, (frames, 26)."""
    lips = lip_signals(track)
    lips = (lips - lips.mean(0)) / (lips.std(0) + 1e-6)
    padded = np.pad(lips, ((CONTEXT, CONTEXT), (0, 0)), mode="edge")
    return np.hstack([padded[i : i + len(lips)] for i in range(2 * CONTEXT + 1)])


def lip_signals(track: Track) -> np.ndarray:
    """Returns the opening speed in patch pixels per frame and the darkness without its slow changes, (frames, 2).

    Motion found after repeated frames is divided evenly among them.
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
    return np.stack([np.nan_to_num(opening), remove_slow_changes(darkness[:, None].astype(float))[:, 0]], axis=1)


def band_loudness(audio: np.ndarray, first: int, end: int, margin: int = MARGIN) -> np.ndarray:
    """Returns the log power of each band without its slow changes, (margin + frames + margin, bands).

    Args:
        audio: (samples,) int16 at 16 kHz of the whole video. Outside of it there is silence.
        first, end: number of the first frame, and one after the last.
        margin: frames before the first and after the last that are returned as well.
    """
    per_frame = round(SAMPLE_RATE_HZ / RATE_HZ)
    frames = end - first + 2 * margin
    # Four spectra per frame, centred on it.
    start = (first - margin) * per_frame - (SPECTRUM - HOP) // 2
    count = frames * per_frame // HOP
    parts = []
    for i in range(0, count, SPECTRA):
        parts.append(_bands(audio, start + i * HOP, min(SPECTRA, count - i)))
        release_pages(audio)
    return remove_slow_changes(np.concatenate(parts).reshape(frames, -1, len(BANDS_HZ)).mean(1))


def _bands(audio: np.ndarray, start: int, count: int) -> np.ndarray:
    samples = np.zeros((count - 1) * HOP + SPECTRUM, np.float32)
    low, high = max(start, 0), min(start + len(samples), len(audio))
    if low < high:
        samples[low - start : high - start] = audio[low:high] / np.float32(32768)
    spectra = np.lib.stride_tricks.sliding_window_view(samples, SPECTRUM)[::HOP]
    power = np.abs(np.fft.rfft(spectra * np.hanning(SPECTRUM).astype(np.float32), axis=1)) ** 2
    hz = np.fft.rfftfreq(SPECTRUM, 1 / SAMPLE_RATE_HZ)
    return np.stack([np.log(power[:, (hz >= a) & (hz < b)].mean(1) + QUIET) for a, b in BANDS_HZ], axis=1)


def remove_slow_changes(signal: np.ndarray) -> np.ndarray:
    """Returns (frames, columns) less its moving average over SLOW frames."""
    return signal - np.stack([running_mean(column, SLOW) for column in signal.T], axis=1)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Returns the mean of (frames,) over `width` frames around each, fewer at the ends."""
    ones = np.ones(min(width, len(values)))
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def window_correlations(predicted: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """Returns the correlation of each band with what the lips predict of it, at each offset, (offsets, bands).

    Args:
        predicted: (frames, bands) of one window.
        loudness: (margin + frames + margin, bands); the offsets are those from -margin to margin frames.
    """
    own, offsets = _unit(predicted), len(loudness) - len(predicted) + 1
    return np.array([(own * _unit(loudness[start : start + len(own)])).sum(0) for start in range(offsets)])


def window_ratios(predicted: np.ndarray, loudness: np.ndarray) -> np.ndarray:
    """Returns the log-likelihood ratio of one window at each offset, (offsets,)."""
    return window_correlations(predicted, loudness) @ WEIGHTS + INTERCEPT


def average_over_offsets(ratios: np.ndarray, active: np.ndarray, lengths: float) -> np.ndarray:
    """Returns each window's log-likelihood ratio averaged over the offset, (windows,).

    All windows together determine the probability of each offset.

    Args:
        ratios: (windows, offsets) log-likelihood ratios.
        active: (windows,) weight of each window for the offset, 0..1: lips at rest do not show it.
        lengths: length of the track in windows; overlapping windows repeat the same evidence.
    """
    belief = -0.5 * (OFFSETS / OFFSET_SPREAD) ** 2
    if len(ratios) > 1:
        mean = active @ ratios / max(active.sum(), 1e-6)
        belief = belief + (mean - mean.max()) * max(0.0, lengths * active.mean() - 1)
    belief = np.exp(belief - belief.max())
    return np.log(np.exp(ratios) @ (belief / belief.sum()))


def _unit(signal: np.ndarray) -> np.ndarray:
    signal = signal - signal.mean(0)
    return signal / (np.linalg.norm(signal, axis=0) + 1e-9)
