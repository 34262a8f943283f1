"""The synthetic sample: its known relation between face and voice can be measured in frames and audio."""

import csv
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest

from pipelines.extraction.faces.detectors import open_detector
from pipelines.quickstart.sample import (
    FACE,
    FPS,
    MOUTH,
    RATE_HZ,
    SIDE_PX,
    TRAITS,
    Person,
    controls_of,
    draw_people,
    make_sample,
    opening_of,
    portrait_of,
    speaking_frames,
    videos_of,
    warped,
)
from vclip.tts.morph.backend import Morph
from vclip.tts.morph.controls import RANGES

STEPS = np.linspace(-1, 1, 5)


def _person(trait: str, value: float) -> Person:
    traits = np.where(np.array(TRAITS) == trait, value, 0.0)
    return Person("plain", traits, np.zeros(4), np.zeros(4))


def _monotone(values) -> bool:
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())


def _pitch_hz(speech: np.ndarray, rate_hz: int) -> list[float]:
    """The pitch of the voiced frames, by the peak of their autocorrelation."""
    size, shortest, longest = rate_hz // 20, rate_hz // 500, rate_hz // 50
    found = []
    for frame in speech[: len(speech) // size * size].reshape(-1, size):
        frame = frame - frame.mean()
        power = np.fft.irfft(np.abs(np.fft.rfft(frame, 2 * size)) ** 2)[: longest + 1]
        lag = shortest + int(power[shortest:].argmax())
        if power[lag] > 0.5 * power[0] > 0.5 * size * 1e-4:
            found.append(rate_hz / lag)
    return found


@pytest.mark.parametrize(
    ("trait", "moved"),
    [
        ("build", {"pitch", "tract_low", "tract_high"}),
        ("length", {"tilt_db"}),
        ("tone", {"shape2_db", "breath_db"}),
    ],
)
def test_a_trait_moves_its_own_controls_and_no_others(trait, moved):
    controls = [vars(controls_of(_person(trait, value))) for value in STEPS]
    for name in controls[0]:
        values = [c[name] for c in controls]
        assert _monotone(values) if name in moved else len(set(values)) == 1, name


def test_the_controls_stay_within_their_ranges():
    for person in draw_people(300, seed=0):
        for name, (low, high) in RANGES.items():
            assert low <= getattr(controls_of(person), name) <= high, name


def test_what_only_the_voice_shows_is_noise_beside_the_traits():
    people = draw_people(300, seed=0)
    pitch = np.log([controls_of(person).pitch for person in people])
    traits = np.array([person.traits for person in people])
    own = np.concatenate([np.array([p.face_own for p in people]), np.array([p.voice_own for p in people])], axis=1)
    assert np.corrcoef(traits[:, 0], pitch)[0, 1] < -0.95
    across = np.corrcoef(np.concatenate([traits, own], axis=1).T) - np.eye(11)
    assert np.abs(across).max() < 4 / np.sqrt(300)  # independent draws: about one over the root of their number


@pytest.mark.parametrize(("trait", "axis"), [("build", 0), ("length", 1)])
def test_the_face_shows_the_shape_of_a_trait(trait, axis):
    """A mark at the jaw moves outwards with the build and down with the length, by several pixels."""
    jaw = ((FACE + np.array([0.18, 0.20])) * SIDE_PX).astype(int)
    marked = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    cv2.circle(marked, jaw.tolist(), 4, (255, 255, 255), -1)
    seen = []
    for value in STEPS:
        y, x = np.nonzero(warped(marked, _person(trait, value))[..., 0] > 127)
        seen.append((x.mean(), y.mean()))
    along, across = np.array(seen)[:, axis], np.array(seen)[:, 1 - axis]
    assert (np.diff(along) > 1).all()
    assert np.ptp(across) < 1


def test_the_face_shows_the_tone():
    assert (np.diff([portrait_of(_person("tone", value)).mean() for value in STEPS]) > 2).all()


def test_the_speech_has_the_pitch_of_the_trait():
    voice = Morph()
    medians = []
    for value in (-1.0, 0.0, 1.0):
        speech = voice.speak("We were away a year ago.", controls_of(_person("build", value)))
        medians.append(np.median(_pitch_hz(speech, voice.sample_rate_hz)))
    assert medians[0] > 1.25 * medians[1] > 1.25**2 * medians[2]


def test_the_mouth_opens_with_the_speech_and_not_without():
    person = draw_people(1, seed=0)[0]
    n = 2 * FPS
    opening = 0.5 - 0.5 * np.cos(np.arange(n) / FPS * 2 * np.pi * 2)
    y = int((FACE[1] + (MOUTH[1] - FACE[1]) * np.exp(0.14 * person.traits[1]) + 0.035) * SIDE_PX)
    mouth = (slice(None), slice(y - 6, y + 6), slice(SIDE_PX // 2 - 12, SIDE_PX // 2 + 12))

    def brightness(amount):
        return speaking_frames(person, amount, np.random.default_rng(0))[mouth].mean(axis=(1, 2, 3))

    moved, still = brightness(opening), brightness(np.zeros(n))
    assert np.corrcoef(moved, opening)[0, 1] < -0.8  # it is dark between the lips
    assert moved.std() > 5 * still.std()


def test_the_opening_follows_the_level():
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    speech = np.where(t < 1, 0.0, 0.3 * np.sin(2 * np.pi * 200 * t)).astype(np.float32)
    opening = opening_of(speech)
    assert len(opening) == 2 * FPS
    assert (opening[: FPS - 1] == 0).all()
    assert (opening[FPS + 1 :] > 0.9).all()


# The files


SHORT = ("Hello.", "Goodbye.")  # so that a sample is made in seconds


def _decoded(path) -> tuple[np.ndarray, np.ndarray]:
    """Returns (frames, SIDE_PX, SIDE_PX) grey and (samples,) of a file."""
    with av.open(str(path)) as file:
        frames = np.stack([frame.to_ndarray(format="gray") for frame in file.decode(video=0)])
    with av.open(str(path)) as file:
        audio = np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])
    return frames, audio


@pytest.mark.slow
def test_silent_and_voice_over_videos_are_what_they_are_called(sample):
    """Silent videos have moving lips and no audio; voice-over ones a voice and lips that keep still."""
    detector = open_detector("centerface")
    motion, level = {}, {}
    for path in sorted(sample.glob("*.mp4")):
        kind = path.stem[4:]
        frames, audio = _decoded(path)
        gaps = []
        for frame in frames[5:80:3]:
            ((face,),) = detector([np.repeat(frame[..., None], 3, axis=2)])
            x, y = face.landmarks[3:].mean(axis=0)
            unit = np.linalg.norm(face.landmarks[3] - face.landmarks[4])
            below = frame[int(y) : int(y + 0.5 * unit), int(x - 0.15 * unit) : int(x + 0.15 * unit)]
            gaps.append(below.min() / 255)
        motion.setdefault(kind, []).append(np.std(gaps))
        level.setdefault(kind, []).append(np.sqrt(np.mean(np.square(audio))))
    assert max(level["silent"]) < 1e-3
    assert min(level["speaking"] + level["voice_over"]) > 0.03
    assert min(motion["speaking"] + motion["silent"]) > 1.5 * max(motion["voice_over"])


def test_one_seed_gives_one_sample_and_another_seed_another(tmp_path):
    seen = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        folder, photo = make_sample(tmp_path / name, people=1, seed=seed, sentences=SHORT)
        assert photo == folder / "photo.jpg"
        seen.append({path.name: path.read_bytes() for path in sorted(folder.iterdir())})
    assert seen[0] == seen[1]
    assert seen[0].keys() == seen[2].keys()
    assert seen[0]["000_speaking.mp4"] != seen[2]["000_speaking.mp4"]


def test_the_labels_name_who_speaks_and_nobody_where_nobody_does(sample):
    with open(sample / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all((sample / row["file"]).is_file() for row in rows)
    named = [row["identity"] for row in rows if row["kind"] == "speaking"]
    assert named == [f"person-{number:03d}" for number in range(6)]
    assert {row["identity"] for row in rows if row["kind"] != "speaking"} == {""}


def test_progress_is_reported(tmp_path):
    progress = []
    make_sample(tmp_path, people=1, on_video=progress.append, sentences=SHORT)
    assert progress == list(range(1, videos_of(1) + 1)) == [1, 2, 3, 4, 5]


def test_the_photo_shows_somebody_who_speaks_in_no_video():
    people = draw_people(7, seed=0)
    assert all(not np.array_equal(people[-1].traits, other.traits) for other in people[:-1])
    # As many people are drawn again, the first ones stay who they were only if the seed alone decides.
    again = draw_people(7, seed=0)
    assert all(np.array_equal(a.traits, b.traits) for a, b in zip(people, again, strict=True))
    changed = replace(people[0], traits=people[0].traits + 0.1)
    assert not np.array_equal(portrait_of(people[0]), portrait_of(changed))
