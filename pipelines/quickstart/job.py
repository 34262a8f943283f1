"""`vclip quickstart`: every job once, on a synthetic sample or on the user's own videos.

sample -> ingest -> train -> evaluate (cross-validated) -> fit-speakers -> distill -> generate -> index.html
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.association.pairs import read_pairs
from pipelines.association.train import CrossValidation, cross_validated, train
from pipelines.cluster.derived import record_derived
from pipelines.config import Config
from pipelines.extraction.faces.detectors import open_detector
from pipelines.generation.distill import distill
from pipelines.generation.faces import encode_faces, face_encoder_spec, open_encoder, read_photo_faces
from pipelines.generation.fit_speakers import fit_speakers
from pipelines.generation.generate import GeneratedFile, generate
from pipelines.generation.models import open_models
from pipelines.html.plots import plot_folds
from pipelines.ingest.job import ingest_videos
from pipelines.ingest.report import reported
from pipelines.ingest.sources.listing import list_videos
from pipelines.progress import say, step
from pipelines.quickstart.page import REPORT, write_page
from pipelines.quickstart.sample import make_sample, videos_of
from pipelines.wording import count, number, percent
from stores import Store
from vclip.errors import InputError
from vclip.files import write_text
from vclip.speakers.bank import known_similarity_limit, nearest_known
from vclip.speakers.generator_fit import MIN_SPEAKERS, GeneratorMetrics
from vclip.speakers.signature import SignatureConfig
from vclip.speakers.voice_search import expected_voices, suitability
from vclip.tts import AUTO

TEXTS = ("Hello, nice to meet you. This is how I imagine your voice.",)
SAMPLE_PEOPLE = 40
FOLDS = 5
MIN_PEOPLE = 8  # each fold must leave enough to train on and to stop by
VOICES = 3
RANDOM_VOICES = 1000  # whose scores say what a score means
DRAWS = 20  # of which one is spoken
MARK = ".vclip-quickstart"  # a file in a folder that a quickstart made and may clear
# Less than the defaults of `distill`, so that the quickstart takes minutes.
QUICK_SIGNATURE = SignatureConfig(speakers=200, sentences=2, predicted=10_000)


@dataclass(frozen=True)
class StepReport:
    """One step of the quickstart."""

    step: str
    result: str  # for people
    seconds: float


@dataclass(frozen=True)
class QuickstartResult:
    """The steps of a quickstart and the page that shows their results."""

    steps: tuple[StepReport, ...]
    page: Path
    synthetic: bool  # whether the videos are the synthetic sample


def quickstart(out: Path, videos: Path | None, face: Path | None, config: Config) -> QuickstartResult:
    """Runs every job once, writes everything to `out`, and returns the steps and the page `out`/index.html.

    Args:
        out: the folder; what an earlier quickstart left in it is replaced.
        videos: the user's videos; the synthetic sample where None.
        face: the user's photo; a photo of the sample where None.
        config: the resolved configuration.

    Raises:
        InputError: the inputs cannot be used.
    """
    check_inputs(out, videos, face, config)
    clear(out)
    if videos is None:
        say(f"quickstart: every job once, on a small synthetic sample; about 2 minutes on two cores, 35 MB in {out}")
    else:
        say(f"quickstart: every job once, on the videos in {videos}; each step shows its progress")
    store, model, speakers = str(out / "store"), out / "model", out / "speakers"
    steps: list[StepReport] = []
    labels, synthetic = None, videos is None
    if config.signature == SignatureConfig():
        config = config.model_copy(update={"signature": QUICK_SIGNATURE})
    if config.generate.tts == AUTO:
        config = config.with_tts("morph")  # many times as fast

    if videos is None:
        with _step("sample", steps) as report:
            videos, photo = _make_sample(out / "videos")
            labels, face = videos / "labels.csv", face or photo
            report(f"videos of {SAMPLE_PEOPLE} made-up people, and silent and voice-over ones that must give no clip")
    assert face is not None  # given with --videos, else made with the sample

    with _step("ingest", steps) as report:
        with reported(store, config, out / Path(REPORT).parent) as observe:
            summary = ingest_videos([videos], store, config, labels, observe)
        states = ", ".join(f"{videos:,} {state}" for state, videos in sorted(summary.videos.items()))
        rows = ", ".join(count(summary.rows[f"{noun}s"], noun) for noun in ("clip", "face", "voice"))
        report(f"{count(sum(summary.videos.values()), 'video')} ({states}): {rows}")

    with _step("train", steps) as report:
        trained = train(store, model, config)
        clips, people = count(trained.clips, "clip"), count(trained.people, "person", "people")
        report(f"{clips} of {people}; AUC {trained.dev_auc:.3f} on held-out people")

    with _step("evaluate", steps) as report:
        crossed = cross_validate(store, out / "evaluation", config)
        report(evaluation := _evaluation_in_words(crossed))

    with _step("fit-speakers", steps) as report:
        generator = _fit_speakers(speakers, store, trained.people, config)
        components = count(generator.mixture_components, "mixture component")
        report(f"fitted to {count(generator.speakers, 'known speaker')}, with {components}")

    with _step("distill", steps) as report:
        signature = distill(speakers, speakers, config)
        without = signature.cosine_identity
        compared = "" if without is None else f" (without the signature: {number(without)})"
        report(f"predicts the TTS's voice of held-out speakers: cosine {number(signature.cosine_held_out)}{compared}")

    with _step("generate", steps) as report:
        speech = generate([face], TEXTS, model, speakers, out / "speech", config, k=VOICES)
        at_random = _VoicesAtRandom(face, model, speakers, config)
        sidecars = [{**file.to_json(), "above": float(np.mean(at_random.scores < file.score))} for file in speech]
        average = at_random.speak_average(out / "random").to_json()
        above = ", ".join(percent(row["above"]) for row in sidecars)
        report(f"{count(len(speech), 'voice')} that suit the photo better than {above} of voices drawn at random")

    page = write_page(
        out,
        store,
        face,
        summary=summary,
        skipped="" if crossed else evaluation,
        speech=sidecars,
        steps=steps,
        synthetic=synthetic,
        average=average,
    )
    record_derived(store, "quickstart", out)
    return QuickstartResult(tuple(steps), page, synthetic)


def check_inputs(out: Path, videos: Path | None, face: Path | None, config: Config) -> None:
    """Raises InputError where the inputs cannot be used, or lie in the folder that is cleared."""
    if videos and not face:
        raise InputError("quickstart: found --videos without --face; give a photo to generate speech for as well")
    if videos:
        list_videos([videos])
    for path, what in ((videos, "the videos"), (face, "the photo")):
        if path and path.resolve().is_relative_to(out.resolve()):
            raise InputError(f"--out {out}: found {what} in it, expected another folder; it is cleared first")
    if face:
        read_photo_faces([face], open_detector(config.extraction.tracks.detector), None)


def clear(out: Path) -> None:
    """Removes what an earlier quickstart made, and nothing else.

    Raises:
        InputError: a file, a folder that no quickstart made, or one that cannot be made.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: found a file, expected a folder")
    if out.exists() and any(out.iterdir()) and not (out / MARK).is_file():
        raise InputError(f"--out {out}: found a folder that no quickstart made; give a new or empty one")
    for name in ("videos", "report", "store", "model", "evaluation", "speakers", "speech", "random"):
        shutil.rmtree(out / name, ignore_errors=True)
    write_text(out / MARK, "Made by `vclip quickstart`; the next one replaces what is in this folder.\n")


def cross_validate(store_uri: str, out: Path, config: Config) -> CrossValidation | None:
    """The cross-validation over people, also written to `out` with its ROC curves; None with fewer than MIN_PEOPLE.

    Each person is scored by a model that was neither trained nor stopped on them. Training is stopped by one held-out
    part, not by folds within folds, which takes a fifth of the time and is enough for a sample.

    Args:
        store_uri: the store.
        out: the folder for evaluation.json and roc.png.
        config: the resolved configuration.
    """
    store = Store.open(store_uri)
    pairs = read_pairs(store)
    people = len(set(pairs.identity))
    if people < MIN_PEOPLE:
        return None
    spaces = (store.face_space, store.voice_space)
    quick = config.model_copy(update={"train": config.train.model_copy(update={"cross_fit_below": 0})})
    crossed = cross_validated(pairs, spaces, quick, min(FOLDS, people // 2))
    metrics = crossed.to_json()
    write_text(out / "evaluation.json", json.dumps(metrics, indent=2) + "\n")
    plot_folds(out / "roc.png", metrics["cross_validation"])
    return crossed


def _evaluation_in_words(crossed: CrossValidation | None) -> str:
    if crossed is None:
        return f"skipped: the store has fewer than {MIN_PEOPLE} people"
    figure = f"{crossed.auc:.3f} ± {crossed.auc_std:.3f}"
    return f"AUC {figure} over {len(crossed.folds)} folds, on people not seen in training (chance: 0.5)"


def _make_sample(folder: Path) -> tuple[Path, Path]:
    with step("make videos", videos_of(SAMPLE_PEOPLE), "videos") as progress:
        return make_sample(folder, SAMPLE_PEOPLE, on_video=progress.set)


def _fit_speakers(folder: Path, store: str, people: int, config: Config) -> GeneratorMetrics:
    if people >= MIN_SPEAKERS:
        return fit_speakers(folder, config, store_uri=store)
    say(
        f"{count(people, 'person', 'people')} in the store, expected {MIN_SPEAKERS} or more for a speaker generator: "
        f"using the built-in speakers of '{config.generate.tts}' instead"
    )
    return fit_speakers(folder, config, tts=config.generate.tts)


class _VoicesAtRandom:
    """Voices drawn for nobody: their scores with a photo's face say what a score means, and one of them is heard."""

    def __init__(self, face: Path, model: Path, speakers: Path, config: Config):
        self._photo, self._folders, self._config = face, (model, speakers), config
        self._models = open_models(model, speakers, None, config.generate)
        association = self._models.association
        photos = read_photo_faces([face], open_detector(config.extraction.tracks.detector), None)
        encoder = open_encoder(face_encoder_spec(association, config), association.face_space, "cpu")
        self._face = encode_faces(photos, encoder)[0].vectors
        self.scores = self._scores(self._models.generator.sample(RANDOM_VOICES, config.generate.seed + 1))

    def speak_average(self, out: Path) -> GeneratedFile:
        """Returns speech in the voice of some draws whose score is nearest to the median of all.

        Raises:
            InputError: all draws are too similar to a known speaker.
        """
        generator, first = self._models.generator, self._config.generate.seed + 2
        drawn = np.concatenate([generator.sample(1, first + draw) for draw in range(DRAWS)])
        known = nearest_known(drawn, generator.bank) > known_similarity_limit(generator.bank)
        seed = first + int(np.argmin(np.abs(self._scores(drawn) - np.median(self.scores)) + 2 * known))
        score = "naive" if self._config.generate.score == "naive" else "informed"  # guided would climb away
        one = self._config.generate.model_copy(update={"candidates": 1, "seed": seed, "score": score})
        config = self._config.model_copy(update={"generate": one})
        return generate([self._photo], TEXTS, *self._folders, out, config, k=1)[0]

    def _scores(self, speakers: np.ndarray) -> np.ndarray:
        models = self._models
        voices = expected_voices(speakers, models.generator.space, models.association, models.signature)
        return suitability(models.association, self._face, voices)[0]


@contextmanager
def _step(name: str, steps: list[StepReport]) -> Iterator[Callable[[str], None]]:
    """Announces a step; yields a function that takes its result in words and adds the report to `steps`."""
    say(f"\n== {name}")
    started_s = time.monotonic()

    def report(result: str) -> None:
        steps.append(StepReport(name, result, time.monotonic() - started_s))
        say(f"   {result}")

    yield report
