"""What is measured of clips: a portrait that talks with its own audio, early and late, and under another voice."""

import dataclasses

import numpy as np
import pytest

from pipelines.extraction import extract
from pipelines.extraction.active_speaker.offset import find_offsets
from pipelines.extraction.candidates import TrackSegment
from pipelines.extraction.config import ActiveSpeakerConfig, SpeechConfig
from pipelines.extraction.measures import measure_clips
from pipelines.extraction.pipeline import KeepAnalysis
from pipelines.extraction.speech.vad import find_speech
from tests.support.talking_portrait import SAMPLE_RATE_HZ, talking, voice, write_video

SECONDS = 5
CONFIG = ActiveSpeakerConfig()


@pytest.fixture(scope="module")
def talking_portrait(tmp_path_factory):
    """The extraction of a talking portrait, and its analysis."""
    audio, kept = voice(SECONDS, seed=3), KeepAnalysis()
    path = write_video(tmp_path_factory.mktemp("portrait") / "talking.mp4", talking(audio, side=256), audio)
    return extract(path, hook=kept), kept.analysis


def measured(analysis, audio=None, shift_s=0.0):
    """The measures of the whole track as one clip, its audio replaced or late by `shift_s`."""
    (track,) = analysis.tracks
    audio = analysis.audio if audio is None else audio
    audio = np.roll(np.pad(audio, SAMPLE_RATE_HZ), round(shift_s * SAMPLE_RATE_HZ))[SAMPLE_RATE_HZ:-SAMPLE_RATE_HZ]
    heard = dataclasses.replace(analysis, audio=audio)
    segment = TrackSegment(track, 0, track.first, track.end, 1.0)
    (found,) = measure_clips([segment], heard, 256, CONFIG)
    return found


def test_a_clip_has_every_measure(talking_portrait):
    extraction, _ = talking_portrait
    (clip,) = extraction.clips
    measures = dataclasses.asdict(clip.measures)
    assert None not in measures.values()
    assert measures["av_offset_s"] == pytest.approx(0.08, abs=0.0401)  # so much ahead `opening` has the mouth
    assert measures["av_confidence"] > 0.9
    assert measures["dubbed"] < 0.1
    sizes_px = [face.size_px for face in clip.faces]
    assert measures["min_face_px"] <= measures["mean_face_px"] == pytest.approx(np.mean(sizes_px), rel=0.2)
    assert measures["head_motion"] < 0.5  # the portrait stays where it is
    assert max(abs(measures[name]) for name in ("yaw_deg", "pitch_deg", "roll_deg")) < 25
    assert {voice.bandwidth_hz > 2000 for voice in clip.voices} == {True}


@pytest.mark.parametrize("shift_s", [-0.2, -0.08, 0.12, 0.2])
def test_the_offset_follows_the_audio(talking_portrait, shift_s):
    _, analysis = talking_portrait
    before, after = measured(analysis), measured(analysis, shift_s=shift_s)
    assert after.av_offset_s - before.av_offset_s == pytest.approx(shift_s, abs=0.0401)
    assert after.av_confidence > 0.8


def test_another_voice_is_more_likely_dubbed_and_its_offset_less_certain(talking_portrait):
    _, analysis = talking_portrait
    own = measured(analysis)
    for seed in (4, 5):
        other = (voice(SECONDS, seed) * 32767).astype(np.int16)
        heard = dataclasses.replace(analysis, speech=find_speech(other, SpeechConfig()))
        dubbed = measured(heard, other)
        assert dubbed.dubbed > 5 * own.dubbed
        assert dubbed.av_confidence < own.av_confidence


def test_clips_of_one_video_share_their_offset():
    vague, clear = np.zeros(21), np.zeros(21)
    clear[13] = 6.0
    vague[8], vague[13] = 0.9, 0.8
    alone, (with_clear, _) = find_offsets([vague])[0], find_offsets([vague, clear])
    assert (alone.offset_s, with_clear.offset_s) == (pytest.approx(-0.08), pytest.approx(0.12))
    assert with_clear.confidence > alone.confidence
