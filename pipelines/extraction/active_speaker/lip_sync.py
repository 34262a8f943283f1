"""Whether a face's lips move with the audio: the active-speaker backend that needs no network.

How the mouth opens, moves and darkens over half a second, and how the loudness of eight bands of the audio changes
over three frames, are mapped onto canonical coordinates: linear combinations of the lips and of the audio that
correlate as much as any. Over windows of a few seconds each coordinate of the lips is correlated with that of the
audio, and a logistic regression turns the correlations into a log-likelihood ratio. Where noise flattens the loudness
or the face is small, a poor correlation says less, so the regression also has these two conditions. Audio and video
of a file may be offset by some frames, so the ratio is taken at every offset up to 0.2 s and averaged over a
probability of the offset, which all windows of a track share.

Lips that hardly move under speech are evidence against, whatever the correlations say: a listener, a still portrait
that pans and zooms.

`tools/fit_lip_sync.py` fitted the coefficients on the clips of 32 people from the development data, composed into
noisy videos. Cross-validated over people, the area under the ROC curve is 0.875 for windows of up to 3 s of a talking
face under its own audio, down to 0 dB of noise, against the same face under another person's.
"""

import functools
import itertools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file

from pipelines.extraction.active_speaker.base import Backend
from pipelines.extraction.active_speaker.lip_motion import SIGNALS
from pipelines.extraction.config import ActiveSpeakerConfig
from pipelines.extraction.faces.tracks import Track
from pipelines.extraction.video.audio_file import release_pages
from pipelines.extraction.video.decode import SAMPLE_RATE_HZ
from vclip.errors import InputError

RATE_HZ = 25.0  # frame rate of the coefficients
BANDS_HZ = (80, 350, 710, 1190, 1840, 2720, 3900, 5480, 7600)  # edges, at equal distances in mel
NEIGHBOURS = 1  # frames of audio to each side
OFFSETS = np.arange(-5, 6)  # frames by which the audio of a file may lag
OFFSET_SPREAD = 2.5  # standard deviation of the prior over a file's offset, in frames
MARGIN = int(OFFSETS[-1])
CONTEXT = 6  # frames of lips to each side
SLOW = 25  # frames; slower changes of loudness and darkness are removed
SPECTRUM, HOP = 640, 160  # samples
SPECTRA = 4096  # taken at a time, so that memory does not grow with the track
QUIET = 0.1  # of the mean power; without it silence would have large changes of loudness
SILENCE = 1e-6  # mean power per spectral line, at least
LONGEST_FREEZE = 5  # frames; a frame repeated for longer is a still, not a source of a low rate
LEAST_MOTION = 0.2  # pixels a frame, or grey levels; below it the logarithm would follow noise

# Apparent opening speed of lips at rest, from noise, recoding and resampling: faces of 30 to 220 pixels in drifting
# stills measured 0.14 to 0.02 patch pixels per frame, talking faces 0.09 and more.
REST_SPEED, REST_SPEED_PX = 0.01, 3.0
# Activity below this many doublings of the speed at rest counts against a face; above, it counts little for it.
ACTIVE_DOUBLINGS, PER_DOUBLING, MOST_FOR = 1.2, 2.1, 0.35
ACTIVE_S = 2.0  # the speed is averaged over this time

# Written by tools/fit_lip_sync.py.
COEFFICIENTS = Path(__file__).with_name("lip_sync.safetensors")


class Coefficients(NamedTuple):
    """The fitted coefficients."""

    lips: np.ndarray  # (lip features, coordinates)
    audio: np.ndarray  # (audio features, coordinates)
    weights: np.ndarray  # (coordinates,) correlation of a window -> log-likelihood ratio
    conditions: np.ndarray  # (2,) weights of `window_conditions`
    intercept: float
    calibration: tuple[float, float]  # slope and intercept, after the average over offsets


@functools.cache
def coefficients() -> Coefficients:
    """Returns the fitted coefficients."""
    read = load_file(COEFFICIENTS)
    slope, intercept = read["calibration"].tolist()
    return Coefficients(
        read["lips"],
        read["audio"],
        read["weights"],
        read["conditions"],
        float(read["intercept"]),
        (slope, intercept),
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
    lips = lip_coordinates(track)
    heard = audio_coordinates(audio, track.first, track.end)
    width, hop = round(config.window_s * rate_hz), max(1, round(config.hop_s * rate_hz))
    last = max(0, len(track) - width)
    windows = [(start, min(start + width, len(track))) for start in [*range(0, last, hop), last]]
    side_px = face_px(track)
    ratios = np.array([window_ratios(lips[a:b], heard[a : b + 2 * MARGIN], side_px) for a, b in windows])
    active = 1 / (1 + np.exp(-1 - activity_evidence(track)))
    share = np.array([active[a:b].mean() for a, b in windows])
    slope, intercept = coefficients().calibration
    synced = slope * average_over_offsets(ratios, share, len(track) / width) + intercept
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
    rest = REST_SPEED + REST_SPEED_PX / face_px(track)
    return np.minimum(MOST_FOR, PER_DOUBLING * (np.log2(speed / rest + 1e-6) - ACTIVE_DOUBLINGS))


def lip_coordinates(track: Track) -> np.ndarray:
    """Returns the canonical coordinates of the lips, (frames, coordinates)."""
    return lip_features(track) @ coefficients().lips


def audio_coordinates(audio: np.ndarray, first: int, end: int, margin: int = MARGIN) -> np.ndarray:
    """Returns the canonical coordinates of the audio, (margin + frames + margin, coordinates).

    Args:
        audio: (samples,) int16 at 16 kHz of the whole video. Outside of it there is silence.
        first, end: number of the first frame, and one after the last.
        margin: frames before the first and after the last that are returned as well.
    """
    return audio_features(audio, first, end, margin) @ coefficients().audio


def lip_features(track: Track) -> np.ndarray:
    """Returns the lip signals, standardised, of each frame and CONTEXT frames to each side, (frames, 52)."""
    lips = lip_signals(track)
    lips = (lips - lips.mean(0)) / (lips.std(0) + 1e-6)
    return _with_neighbours(np.pad(lips, ((CONTEXT, CONTEXT), (0, 0)), mode="edge"), CONTEXT)


def lip_signals(track: Track) -> np.ndarray:
    """Returns how the lips of a track move, (frames, 4).

    These are the opening speed in patch pixels per frame; the darkness of the mouth; and the logarithms of the flow
    and of the change of brightness around it. All but the first are without their slow changes. Motion found after
    repeated frames is divided evenly among them.
    """
    opening, flow, change, darkness = (
        track.lips[:, SIGNALS.index(name)].astype(float) for name in ("opening", "lips", "change", "darkness")
    )
    motion = np.stack([opening, flow, change], axis=1)
    moved = np.flatnonzero(~np.isnan(opening))
    for before, this in itertools.pairwise([0, *moved]):
        if 1 < this - before <= LONGEST_FREEZE + 1:
            motion[before + 1 : this + 1] = motion[this] / (this - before)
    motion = np.nan_to_num(motion)
    if len(motion) > 1:
        motion[0, 1:] = motion[1, 1:]
    logarithms = np.log(motion[:, 1:] + LEAST_MOTION)
    return np.column_stack([motion[:, 0], remove_slow_changes(np.column_stack([darkness, logarithms]))])


def audio_features(audio: np.ndarray, first: int, end: int, margin: int = MARGIN) -> np.ndarray:
    """Returns the log power of each band, without its slow changes, of each frame and NEIGHBOURS to each side.

    The power is relative to its mean, so that it does not matter how loud the recording is.

    Args:
        audio: (samples,) int16 at 16 kHz of the whole video. Outside of it there is silence.
        first, end: number of the first frame, and one after the last.
        margin: frames before the first and after the last that are returned as well.

    Returns:
        (margin + frames + margin, 24).
    """
    per_frame = round(SAMPLE_RATE_HZ / RATE_HZ)
    first, end = first - margin - NEIGHBOURS, end + margin + NEIGHBOURS
    # Four spectra per frame, centred on it.
    start = first * per_frame - (SPECTRUM - HOP) // 2
    count = (end - first) * per_frame // HOP
    parts = []
    for i in range(0, count, SPECTRA):
        parts.append(_bands(audio, start + i * HOP, min(SPECTRA, count - i)))
        release_pages(audio)
    power = np.concatenate(parts)
    loudness = np.log(power / max(power.mean(), SILENCE) + QUIET)
    loudness = loudness.reshape(end - first, -1, len(BANDS_HZ) - 1).mean(1)
    return _with_neighbours(remove_slow_changes(loudness), NEIGHBOURS)


def _with_neighbours(rows: np.ndarray, reach: int) -> np.ndarray:
    """Returns each of (reach + n + reach, columns) rows and `reach` rows to each side as one, (n, columns')."""
    return np.hstack([rows[i : len(rows) - 2 * reach + i] for i in range(2 * reach + 1)])


def _bands(audio: np.ndarray, start: int, count: int) -> np.ndarray:
    samples = np.zeros((count - 1) * HOP + SPECTRUM, np.float32)
    low, high = max(start, 0), min(start + len(samples), len(audio))
    if low < high:
        samples[low - start : high - start] = audio[low:high] / np.float32(32768)
    spectra = np.lib.stride_tricks.sliding_window_view(samples, SPECTRUM)[::HOP]
    power = np.abs(np.fft.rfft(spectra * np.hanning(SPECTRUM).astype(np.float32), axis=1)) ** 2
    hz = np.fft.rfftfreq(SPECTRUM, 1 / SAMPLE_RATE_HZ)
    return np.stack([power[:, (hz >= a) & (hz < b)].mean(1) for a, b in itertools.pairwise(BANDS_HZ)], axis=1)


def remove_slow_changes(signal: np.ndarray) -> np.ndarray:
    """Returns (frames, columns) less its moving average over SLOW frames."""
    return signal - np.stack([running_mean(column, SLOW) for column in signal.T], axis=1)


def running_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Returns the mean of (frames,) over `width` frames around each, fewer at the ends."""
    ones = np.ones(min(width, len(values)))
    return np.convolve(values, ones, "same") / np.convolve(np.ones(len(values)), ones, "same")


def window_correlations(lips: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Returns the correlation of each coordinate of the lips with that of the audio, (offsets, coordinates).

    Args:
        lips: (frames, coordinates) of one window.
        audio: (margin + frames + margin, coordinates); the offsets are those from -margin to margin frames.
    """
    own, offsets = _unit(lips), len(audio) - len(lips) + 1
    return np.array([(own * _unit(audio[start : start + len(own)])).sum(0) for start in range(offsets)])


def window_conditions(audio: np.ndarray, side_px: float) -> np.ndarray:
    """Returns the logarithms of how much the loudness of a window changes and of the size of the face, (2,).

    Args:
        audio: (margin + frames + margin, coordinates).
        side_px: `face_px` of the track.
    """
    return np.log([audio.std(0).mean() + 1e-6, side_px])


def face_px(track: Track) -> float:
    """Returns the median width of the face in pixels of the frames that were analysed."""
    return float(np.median(track.boxes[:, 2] - track.boxes[:, 0]))


def window_ratios(lips: np.ndarray, audio: np.ndarray, side_px: float) -> np.ndarray:
    """Returns the log-likelihood ratio of one window at each offset, (offsets,).

    Args:
        lips, audio: as for `window_correlations`.
        side_px: `face_px` of the track.
    """
    fitted = coefficients()
    of_conditions = float(window_conditions(audio, side_px) @ fitted.conditions)
    return window_correlations(lips, audio) @ fitted.weights + of_conditions + fitted.intercept


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
