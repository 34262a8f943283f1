"""One voice: clips are split where the speaker changes, and only there; composed clips hold what they say."""

import csv

import numpy as np
import pytest
import soxr

from pipelines.extraction.config import SpeechConfig
from pipelines.extraction.speech import speaker_change
from pipelines.extraction.speech.speaker_change import (
    WINDOW_S,
    SpeakerChangeConfig,
    SpeakerPart,
    split_at_speaker_changes,
)
from pipelines.extraction.speech.vad import FRAME, FRAME_S, find_speech
from tools.fit_speaker_change import KINDS, Recording, make_clip, read_voices
from vclip.encoders.ge2e import GE2E
from vclip.tts.morph.backend import Morph
from vclip.tts.morph.controls import Controls

TEXTS = "She sells fresh bread near the railway station.", "We walked along the river until the rain began to fall."
HIGH, LOW = (
    Controls(pitch=1.2, tract_low=1.1, tract_high=1.1, tilt_db=-4),
    Controls(pitch=0.55, tract_low=0.85, tract_high=0.87, tempo=0.95),
)
CONFIG = SpeakerChangeConfig()
NEVER = SpeakerChangeConfig(change_threshold=1, overlap_threshold=1)


@pytest.fixture(scope="module")
def spoken():
    """Two texts in each of two voices, (samples,) int16 at 16 kHz, about 3 s each."""
    tts = Morph()

    def speak(text, controls):
        audio = soxr.resample(tts.speak(text, controls), tts.sample_rate_hz, 16_000)
        loud = np.flatnonzero(np.abs(audio) > 0.02 * np.abs(audio).max())
        audio = audio[loud[0] : loud[-1]]
        return (audio / np.abs(audio).max() * 16_000).astype(np.int16)

    return {name: [speak(text, voice) for text in TEXTS] for name, voice in (("high", HIGH), ("low", LOW))}


def judged(audio, config=CONFIG):
    speech = find_speech(audio, SpeechConfig())
    return split_at_speaker_changes(audio, speech, 0.0, len(audio) / 16_000, config)


def test_one_voice_stays_whole(spoken):
    for texts in spoken.values():
        audio = np.concatenate(texts)
        assert judged(audio) == [SpeakerPart(0.0, len(audio) / 16_000)]


@pytest.mark.parametrize(("first", "second"), [("high", "low"), ("low", "high")])
@pytest.mark.parametrize("gain", [1.0, 0.05])
def test_a_clip_is_split_where_the_speaker_changes(spoken, first, second, gain):
    one, two = spoken[first][0], spoken[second][1]
    parts = judged((np.concatenate([one, two]) * gain).astype(np.int16))
    assert [part.drop for part in parts] == ["", ""]
    assert parts[0].end_s == parts[1].start_s == pytest.approx(len(one) / 16_000, abs=0.4)
    assert (parts[0].start_s, parts[1].end_s) == (0.0, (len(one) + len(two)) / 16_000)


def test_two_changes_give_three_parts(spoken):
    pieces = spoken["high"][0], spoken["low"][1], spoken["high"][1]
    parts = judged(np.concatenate(pieces))
    edges = np.cumsum([len(audio) for audio in pieces]) / 16_000
    # Both voices are one synthetic speaker's, warped; with real ones nine of ten changes are within 0.4 s.
    np.testing.assert_allclose([part.end_s for part in parts], edges, atol=0.6)


def test_times_are_those_of_the_video(spoken):
    one, two = spoken["high"][0], spoken["low"][1]
    lead = np.zeros(5 * 16_000, np.int16)
    alone, later = judged(np.concatenate([one, two])), np.concatenate([lead, one, two, lead])
    parts = split_at_speaker_changes(
        later, find_speech(later, SpeechConfig()), 5.0, 5.0 + (len(one) + len(two)) / 16_000, CONFIG
    )
    np.testing.assert_allclose([p.start_s for p in parts], [p.start_s + 5 for p in alone], atol=0.11)


def test_a_rest_too_short_is_dropped(spoken):
    one, two = spoken["high"][0], spoken["low"][1]
    least_s = len(two) / 16_000 + 0.5
    parts = judged(np.concatenate([spoken["high"][1], one, two]), SpeakerChangeConfig(min_s=least_s))
    assert [part.drop for part in parts] == ["", "two_voices"]


def test_a_threshold_of_one_leaves_everything_whole(spoken):
    audio = np.concatenate([spoken["high"][0], spoken["low"][1]])
    assert len(judged(audio, NEVER)) == 1


@pytest.mark.parametrize("length_s", [0.3, 1.9])
def test_short_clips_are_taken_for_one_voice(spoken, length_s):
    audio = spoken["high"][0][: int(length_s * 16_000)]
    assert judged(audio) == [SpeakerPart(0.0, len(audio) / 16_000)]


def test_without_speech_there_is_nothing_to_tell():
    assert judged(np.zeros(5 * 16_000, np.int16)) == [SpeakerPart(0.0, 5.0)]


def test_windows_are_embedded_as_the_encoder_embeds_utterances(spoken):
    audio = spoken["high"][0]
    speech = find_speech(audio, SpeechConfig())
    windows = speaker_change.embed_windows(audio, speech, 0.0, len(audio) / 16_000)
    encoder = GE2E("cpu")
    for at, embedding in list(zip(windows.start_s, windows.embeddings, strict=True))[::3]:
        piece = audio[round(at * 16_000) : round((at + WINDOW_S) * 16_000)].astype(np.float32) / 32768
        mel = encoder.prepare.mel(piece)[:-1]
        scaled = mel * speaker_change.LEVEL / mel.mean()
        expected = encoder(scaled[None])[0].numpy()
        assert expected @ embedding > 0.98  # the edges of a cut piece are not those of the whole


@pytest.mark.parametrize("kind", KINDS)
def test_composed_clips_hold_what_they_say(kind):
    rng = np.random.default_rng(3)
    tones = [np.sin(2 * np.pi * hz * np.arange(12 * 16_000 // FRAME * FRAME) / 16_000) for hz in (400, 1000)]
    voices = [
        Recording(str(i), tone.astype(np.float32), np.ones(len(tone) // FRAME, bool)) for i, tone in enumerate(tones)
    ]
    clip = make_clip(kind, voices, rng, degraded=0)
    frames = clip.audio[: len(clip.speech.voiced) * FRAME].reshape(-1, FRAME) / 32768
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(FRAME)))
    heard = spectrum[:, [round(hz * FRAME / 16_000) for hz in (400, 1000)]]
    heard = heard > 0.2 * np.median(heard.max(1))  # (frames, voices)
    if kind == "single":
        assert (heard.any(0).sum(), heard.sum(1).max()) == (1, 1)
    elif kind == "turn":
        before, after = (round(at / FRAME_S) for at in clip.change_s)
        assert heard[:before].all(0).tolist() == heard[after:].any(0).tolist()[::-1]
    else:
        np.testing.assert_array_equal(heard.all(1), clip.overlapped)
        assert 0 <= clip.sir_db <= 10


@pytest.mark.shared
@pytest.mark.slow
def test_speakers_that_the_fit_did_not_hear(shared, tmp_path):
    rows = list(csv.DictReader((shared / "data/speech/speech.csv").open()))[::9]
    table = tmp_path / "some.csv"
    with table.open("w") as file:
        writer = csv.DictWriter(file, ["speaker", "file"])
        writer.writeheader()
        for row in rows:
            writer.writerow({"speaker": row["speaker"], "file": shared / "data/speech" / row["file"]})
    voices, rng = [v for v in read_voices(table, "speaker", "file") if v.held_out], np.random.default_rng(5)
    dropped, split = {}, {}
    for kind in ("single", "turn", "overlap"):
        clips = [make_clip(kind, voices, rng, degraded=0.5) for _ in range(10)]
        parts = [split_at_speaker_changes(clip.audio, clip.speech, 0, clip.duration_s, CONFIG) for clip in clips]
        dropped[kind] = sum(any(part.drop == "overlapped_speech" for part in each) for each in parts)
        split[kind] = sum(len(each) > 1 for each in parts)
    assert split["turn"] >= 5 and split["single"] <= 1  # noqa: PT018
    assert dropped["overlap"] > dropped["single"] and dropped["single"] <= 1  # noqa: PT018
