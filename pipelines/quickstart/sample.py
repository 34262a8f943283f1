"""A small synthetic corpus with a known relation between face and voice, for the quickstart and for tests.

One public-domain portrait (NASA's photo of Eileen Collins, in scikit-image) is warped and re-coloured into many
"people", whose mouths move with speech of the `morph` voices. Three hidden traits tie a person's face to the voice:

    trait    face                          voice
    build    width of face and jaw         pitch and vocal tract
    length   length of the lower face      spectral slope
    tone     colour and brightness         breathiness and spectral shape

Everything else about face and voice varies independently. Besides the speaking videos there are "silent" ones (a
moving mouth without audio) and "voice-over" ones (a drifting still image with a voice), which must give no clip.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import skimage.data

from vclip.audio import resample
from vclip.tts.morph.backend import Morph
from vclip.tts.morph.controls import Controls

FPS, SIDE_PX, RATE_HZ = 25, 320, 16_000
# The part of the portrait that is used; in it, as fractions of its side, the centres of the face and of the mouth.
CROP = (124, 5, 324, 205)  # x0, y0, x1, y1 pixels of the 512x512 image
FACE = np.array([0.50, 0.56])
MOUTH = np.array([0.500, 0.694])
OPENINGS = 16  # degrees of opening at which a mouth is drawn
TRAITS = ("build", "length", "tone")

SENTENCES = (
    "Good morning, it is a lovely day to walk along the river.",
    "My neighbour keeps bees, and every summer she brings us honey.",
    "We missed the early train, so we had coffee and waited for the next.",
    "The old library has a quiet room where nobody ever talks.",
    "He learned to swim in the lake behind his uncle's farm.",
    "Please remember to water the plants while I am away.",
    "The children built a castle of sand, and the tide took it.",
    "I would rather read a long book than watch a short film.",
)


@dataclass(frozen=True)
class Person:
    """One made-up person."""

    name: str
    traits: np.ndarray  # (3,) in -1..1, as TRAITS; face and voice both show them
    face_own: np.ndarray  # (4,) in -1..1, what only the face shows
    voice_own: np.ndarray  # (4,) in -1..1, what only the voice shows


def draw_people(count: int, seed: int) -> list[Person]:
    """Made-up people with independent traits."""
    rng = np.random.default_rng(seed)
    sizes = (len(TRAITS), 4, 4)
    return [Person(f"person-{i:03d}", *(rng.uniform(-1, 1, n) for n in sizes)) for i in range(count)]


def controls_of(person: Person) -> Controls:
    """The controls of the voice that belongs to the person's traits."""
    build, length, tone = person.traits
    own = person.voice_own
    return Controls(
        pitch=float(np.exp(-0.30 - 0.42 * build + 0.06 * own[0])),
        tract_low=float(np.exp(-0.07 - 0.11 * build + 0.02 * own[1])),
        tract_high=float(np.exp(-0.05 - 0.11 * build + 0.02 * own[1])),
        tilt_db=float(8.0 * length + 1.0 * own[2]),
        shape2_db=float(5.0 * tone),
        breath_db=float(1.0 + 5.0 * tone + 1.0 * own[3]),
        tempo=float(np.exp(0.06 * own[3])),
    )


def portrait_of(person: Person) -> np.ndarray:
    """The person's face at rest, (SIDE_PX, SIDE_PX, 3) uint8 RGB."""
    x0, y0, x1, y1 = CROP
    base = cv2.resize(skimage.data.astronaut()[y0:y1, x0:x1], (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
    return _coloured(warped(base, person), person)


def warped(image: np.ndarray, person: Person) -> np.ndarray:
    """An image (SIDE_PX, SIDE_PX, 3) uint8, warped to the shape of the person's face."""
    build, length, _ = person.traits
    eyes_apart, nose, brow, _ = person.face_own
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32) / SIDE_PX
    dx, dy = x - FACE[0], y - FACE[1]
    head = np.exp(-((dx / 0.42) ** 2 + (dy / 0.53) ** 2))  # the warp fades out beyond the head
    jaw = 1 / (1 + np.exp(-dy / 0.07))  # 0 at the forehead, 1 at the jaw
    width = np.exp((0.14 * build + 0.16 * build * jaw + 0.05 * eyes_apart * (1 - jaw)) * head)
    height = np.exp((0.16 * length * jaw + 0.05 * brow * (1 - jaw)) * head)
    shift = 0.011 * nose * np.exp(-((dx / 0.07) ** 2 + (dy / 0.10) ** 2))
    source_x, source_y = FACE[0] + dx / width, FACE[1] + dy / height + shift
    map_x, map_y = ((source * SIDE_PX).astype(np.float32) for source in (source_x, source_y))
    return cv2.remap(image, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def _coloured(image: np.ndarray, person: Person) -> np.ndarray:
    tone, own = person.traits[2], person.face_own[3]
    gain = np.exp(np.array([0.10, -0.02, -0.16]) * tone + np.array([-0.03, 0.0, 0.03]) * own)
    light = (image / 255.0) ** np.exp(-0.45 * tone) * gain
    return np.clip(np.rint(light * 255), 0, 255).astype(np.uint8)


def speaking_frames(person: Person, opening: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frames (n, SIDE_PX, SIDE_PX, 3) uint8 RGB of the head drifting while its mouth opens by `opening`.

    Args:
        person: whose face.
        opening: (n,) in 0..1, one value per frame.
        rng: draws the drift and the grain.
    """
    rest = portrait_of(person)
    mouths = [_mouth_open(rest, person, level / (OPENINGS - 1)) for level in range(OPENINGS)]
    phase = rng.uniform(0, 2 * np.pi, 4)
    grain = rng.integers(-4, 5, (8, *rest.shape), dtype=np.int8)
    size = (SIDE_PX, SIDE_PX)
    frames = np.empty((len(opening), *rest.shape), np.uint8)
    for i, amount in enumerate(opening):
        t = i / FPS
        angle, zoom = 1.6 * np.sin(0.9 * t + phase[0]), 1.02 + 0.015 * np.sin(0.6 * t + phase[1])
        matrix = cv2.getRotationMatrix2D((SIDE_PX / 2, SIDE_PX / 2), angle, zoom)
        matrix[:, 2] += 3 * np.sin(1.1 * t + phase[2]), 3 * np.sin(1.4 * t + phase[3])
        image = mouths[round(float(amount) * (OPENINGS - 1))]
        moved = cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REFLECT)
        frames[i] = cv2.add(moved, grain[i % 8], dtype=cv2.CV_8U)
    return frames


def _mouth_open(image: np.ndarray, person: Person, amount: float) -> np.ndarray:
    """The image with lower lip and jaw pulled down by up to 8 % of the side, and dark between the lips."""
    # Where the warp has moved the mouth to.
    length = person.traits[1]
    mouth_y = FACE[1] + (MOUTH[1] - FACE[1]) * np.exp(0.14 * length)
    drop = 0.077 * float(amount)
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32) / SIDE_PX
    dx, dy = x - MOUTH[0], y - mouth_y
    side = np.exp(-((dx / 0.12) ** 2))
    below = np.where(dy > 0, np.exp(-((np.maximum(dy - drop, 0) / 0.14) ** 2)), 0) * side
    source_y = y - np.minimum(drop * below, np.maximum(dy, 0))
    to = (x * SIDE_PX, (source_y * SIDE_PX).astype(np.float32))
    pulled = cv2.remap(image, *to, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    ellipse = (dx / 0.081) ** 2 + ((dy - drop / 2) / max(drop / 2, 1e-3)) ** 2
    inside = 1 / (1 + np.exp(np.clip((ellipse - 1) * 6, -50, 50)))
    inside = (inside * min(1.0, amount * 3))[..., None]
    return (pulled * (1 - inside) + np.array([52, 20, 22]) * inside).astype(np.uint8)


def opening_of(speech: np.ndarray) -> np.ndarray:
    """How far a mouth opens with speech (samples,) at RATE_HZ: (n,) in 0..1, one value per frame."""
    hop = RATE_HZ // FPS
    n = len(speech) // hop
    level = np.sqrt(np.mean(np.square(speech[: n * hop]).reshape(n, hop), axis=1))
    return np.clip(level / (np.quantile(level, 0.95) + 1e-9), 0, 1) ** 0.7


def videos_of(people: int) -> int:
    """Returns the number of videos in a sample of so many people."""
    return people + 2 * _extra(people)


def _extra(people: int) -> int:
    return max(2, people // 10)


def make_sample(
    folder: str | Path,
    people: int = 40,
    seed: int = 0,
    on_video: Callable[[int], None] | None = None,
    sentences: Sequence[str] = SENTENCES,
) -> tuple[Path, Path]:
    """The folder with the videos and `labels.csv`, and the photo of one more person, all of which are written.

    A tenth as many silent and voice-over videos are added.

    Args:
        folder: made if it is missing.
        people: number of people who speak, one video each.
        seed: of all random draws.
        on_video: called with the number of videos done, of `videos_of(people)`.
        sentences: what people say, two of them in each video.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    voice, everyone = Morph(), draw_people(people + 1, seed)
    extra = _extra(people)
    kinds = ["speaking"] * people + ["silent"] * extra + ["voice_over"] * extra
    rows = []
    for i, kind in enumerate(kinds):
        person = everyone[i % people]
        speech = _say(voice, person, [sentences[(i + k) % len(sentences)] for k in range(2)])
        frames = speaking_frames(person, opening_of(speech) if kind != "voice_over" else _still(speech), rng)
        name = f"{i:03d}_{kind}.mp4"
        _write_video(folder / name, frames, speech if kind != "silent" else np.zeros_like(speech))
        rows.append({"file": name, "kind": kind, "identity": person.name if kind == "speaking" else ""})
        if on_video:
            on_video(i + 1)
    with open(folder / "labels.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "kind", "identity"])
        writer.writeheader()
        writer.writerows(rows)
    photo = folder / "photo.jpg"
    cv2.imwrite(str(photo), cv2.cvtColor(portrait_of(everyone[-1]), cv2.COLOR_RGB2BGR))
    return folder, photo


def _say(voice: Morph, person: Person, sentences: Sequence[str]) -> np.ndarray:
    speech = resample(voice.speak(" ".join(sentences), controls_of(person)), voice.sample_rate_hz, RATE_HZ)
    pad = np.zeros(RATE_HZ // 5, np.float32)
    return np.concatenate([pad, speech / np.abs(speech).max() * 0.6, pad])


def _still(speech: np.ndarray) -> np.ndarray:
    return np.zeros(len(speech) // (RATE_HZ // FPS))


def _write_video(path: Path, frames: np.ndarray, speech: np.ndarray) -> None:
    with av.open(str(path), "w") as out:
        # With its macroblock tree, x264 gave four different files in six runs, whatever the threads.
        options = {"crf": "20", "preset": "veryfast", "x264-params": "mbtree=0"}
        video = out.add_stream("libx264", rate=FPS, options=options)
        video.width = video.height = SIDE_PX
        video.pix_fmt = "yuv420p"
        audio = out.add_stream("aac", rate=RATE_HZ, layout="mono")
        for frame in frames:
            out.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(video.encode())
        samples = av.AudioFrame.from_ndarray(speech[None].astype(np.float32), format="fltp", layout="mono")
        samples.sample_rate = RATE_HZ
        out.mux(audio.encode(samples))
        out.mux(audio.encode())
