"""Active speaker: lips are told from heads, the speaker from the others, and nobody from somebody."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.extraction.active_speaker import lip_sync
from pipelines.extraction.active_speaker.base import active_speaker_scores
from pipelines.extraction.active_speaker.lip_motion import SIGNALS
from pipelines.extraction.config import ActiveSpeakerConfig, TrackConfig
from pipelines.extraction.faces.detectors import CenterFaceDetector
from pipelines.extraction.faces.shots import ShotFrame
from pipelines.extraction.faces.tracks import Track, track_faces
from tests.support.rgb_frame import RgbFrame
from tests.support.talking_portrait import RATE_HZ, drifting, opening, talking, voice
from vclip.errors import InputError

CONFIG = ActiveSpeakerConfig()


def track_of(frames):
    items = [ShotFrame(i, RgbFrame(p), i == 0, i == len(frames) - 1) for i, p in enumerate(frames)]
    ((track,), _) = track_faces(items, CenterFaceDetector(), RATE_HZ, TrackConfig())
    return track


@pytest.fixture(scope="module")
def audio():
    return voice(4, seed=1)


@pytest.fixture(scope="module")
def pcm(audio):
    return (audio * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def talking_track(audio):
    return track_of(talking(audio))


@pytest.fixture(scope="module")
def still_track():
    return track_of(drifting(100))


def test_the_opening_speed_follows_the_mouth(talking_track, audio):
    measured = lip_sync.lip_signals(talking_track)[1:, 0]
    assert np.corrcoef(measured, np.diff(opening(audio)))[0, 1] > 0.7


def test_a_face_that_moves_as_a_whole_has_lips_at_rest(still_track, talking_track):
    still, moving = (np.nanmean(t.lips[:, SIGNALS.index("lips")]) for t in (still_track, talking_track))
    assert still < moving / 4


def test_repeated_frames_share_the_motion_out(audio):
    frames = talking(audio[:32_000])
    repeated = track_of([frames[i // 2 * 2] for i in range(len(frames))])
    signal = lip_sync.lip_signals(repeated)[:, 0]
    np.testing.assert_array_equal(signal[1:-1:2], signal[2::2][: len(signal[1:-1:2])])  # both are the same half
    assert np.abs(signal).max() > 0.1


def score(tracks, pcm):
    return [float(s.mean()) for s in active_speaker_scores(tracks, pcm, RATE_HZ, CONFIG, lip_sync.lip_evidence)]


def test_own_voice_is_believed_and_a_voice_over_a_still_is_not(talking_track, still_track, pcm):
    assert score([talking_track], pcm)[0] > 0.9
    assert score([still_track], pcm)[0] < 0.1


@pytest.mark.parametrize("late", [-4, 0, 4])
def test_audio_that_is_some_frames_off_is_still_its_own(talking_track, pcm, late):
    assert score([talking_track], np.roll(pcm, late * 640))[0] > CONFIG.threshold


def test_anothers_voice_counts_for_less_than_the_own(talking_track, pcm):
    others = [(voice(4, seed) * 32767).astype(np.int16) for seed in range(2, 10)]
    own, *theirs = (lip_sync.lip_evidence(talking_track, s, RATE_HZ, CONFIG).mean() for s in [pcm, *others])
    # All of these voices have one rhythm, so now and then another's fits: the median must not.
    assert np.median(theirs) < own - 1


def test_it_does_not_matter_how_loud_the_recording_is(talking_track, pcm):
    loud, quiet = (lip_sync.sync_evidence(talking_track, samples, RATE_HZ, CONFIG) for samples in (pcm, pcm // 20))
    np.testing.assert_allclose(loud, quiet, atol=0.1)


def test_a_poor_fit_says_less_of_a_small_face(talking_track):
    another = (voice(4, seed=2) * 32767).astype(np.int16)
    small = replace(talking_track, boxes=talking_track.boxes / 4)
    large, small = (lip_sync.sync_evidence(t, another, RATE_HZ, CONFIG).mean() for t in (talking_track, small))
    assert large < small - 0.5


def test_of_two_talking_faces_the_active_speaker_wins(talking_track, pcm):
    other = track_of(talking(voice(4, seed=9)))
    own, theirs = score([talking_track, other], pcm)
    assert own > 0.9
    assert own + theirs <= 1


def plain_track(first, count):
    zeros = np.zeros((count, len(SIGNALS)), np.float32)
    return Track(
        1,
        first,
        (320, 240),
        np.zeros((count, 4)),
        np.zeros((count, 5, 2)),
        zeros,
        np.zeros(count),
        np.zeros((96, 96, 3), np.uint8),
    )


def test_scores_are_bayes_rule_over_the_faces_in_view():
    tracks, ratios = [plain_track(0, 10), plain_track(5, 10)], [2.0, 3.0]
    evidence = lambda track, *_: np.full(len(track), np.log(ratios[track.first > 0]))  # noqa: E731
    first, second = active_speaker_scores(tracks, np.zeros(0, np.int16), 25, ActiveSpeakerConfig(prior=0.5), evidence)
    np.testing.assert_allclose(first, [2 / 3] * 5 + [2 / 6] * 5, rtol=1e-5)
    np.testing.assert_allclose(second, [3 / 6] * 5 + [3 / 4] * 5, rtol=1e-5)


def test_offsets_are_averaged_over_what_all_windows_say():
    ratios = np.zeros((8, len(lip_sync.OFFSETS)))
    ratios[:, 2] = 2.0  # all windows agree on one offset, each a little
    active = np.ones(8)
    together, alone = (
        lip_sync.average_over_offsets(ratios, active, 8.0),
        lip_sync.average_over_offsets(ratios[:1], active[:1], 1.0),
    )
    assert together[0] > 1.9 > alone[0] > 0


def test_windows_of_lips_at_rest_do_not_tell_the_offset():
    ratios = np.zeros((8, len(lip_sync.OFFSETS)))
    ratios[:4, 2], ratios[4:, 8] = 2.0, 6.0
    active = np.repeat([1.0, 0.0], 4)
    assert lip_sync.average_over_offsets(ratios, active, 8.0)[0] > 1.5
    assert lip_sync.average_over_offsets(ratios, 1 - active, 8.0)[0] < 0.5


def test_another_rate_of_frames_is_refused(pcm):
    with pytest.raises(InputError, match=r"media\.rate_hz = 30"):
        lip_sync.lip_evidence(plain_track(0, 10), pcm, 30.0, CONFIG)


def test_darkness_follows_the_open_mouth(talking_track, audio):
    darkness = talking_track.lips[:, SIGNALS.index("darkness")]
    assert np.corrcoef(darkness, opening(audio))[0, 1] > 0.5
