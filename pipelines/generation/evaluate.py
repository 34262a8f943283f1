"""`vclip evaluate-generation`: measures by a separate model how well the chosen voices suit the faces.

people of a store -> two models (given, or trained here) -> voices of every system -> speech -> f2v, v2v, likelihood

All systems choose voices for the same people, whom neither model was trained on. The TTS speaks the chosen voices and
the encoder embeds the speech, so the speech itself is evaluated. The pitch of the speech is compared with that of the
person's recordings in the store. A person's figure is the mean over their voices; the intervals come from a bootstrap
over people.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.association.pairs import open_model, pair_spaces, read_pairs, store_pairs
from pipelines.config import Config
from pipelines.generation.distill import SENTENCES
from pipelines.generation.models import check_evaluator, check_speaker_space, load_speakers
from pipelines.progress import step, warn
from pipelines.wording import count
from stores import Store
from stores.sql import in_lists
from vclip.association.base import Association, training_people, warning_of
from vclip.association.metrics import draw_people
from vclip.association.metrics.bootstrap import DRAWS
from vclip.association.pairs import Pairs, mean_direction
from vclip.association.training import train as train_model
from vclip.audio import prepare_speech, read_audio
from vclip.encoders import open_voice_encoder, spec_of_space
from vclip.errors import InputError
from vclip.files import write_text
from vclip.speakers.baselines import DIRECT, DRAWN, REFERENCES, SYSTEMS, SpeakerChoice, choose_speakers
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.metrics import SpeechFigures, SpeechMetrics, speech_quality
from vclip.speakers.pitch import median_f0_hz, semitones
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice_search import face_directions
from vclip.tts import TTS, open_tts

TRUE = "true pair"
# The differences in the table: the first system of each pair is expected to score higher.
COMPARED = (("naive", DRAWN), ("informed", "naive"), ("guided", "informed"), ("informed", DIRECT), ("guided", DIRECT))


@dataclass(frozen=True)
class SystemFigures:
    """The figures of one system or reference."""

    system: str
    reference: bool  # whether it is a reference and no system
    figures: SpeechFigures

    def to_json(self) -> dict[str, Any]:
        return {"system": self.system, "reference": self.reference, **asdict(self.figures)}


@dataclass(frozen=True)
class GenerationEvaluation:
    """The figures of all systems and references, each with its 95 % interval."""

    people: int
    voices: int  # of each system for each person
    draws: int  # of the bootstrap
    systems: tuple[SystemFigures, ...]
    differences: Mapping[str, SpeechFigures]  # "a - b" -> the figures of the differences, person by person
    made_by: Mapping[str, Any]  # store, models and settings
    warning: str | None = None  # where a given model does not record its training people

    def to_json(self) -> dict[str, Any]:
        """Returns the evaluation as generation.json holds it."""
        return asdict(self) | {"systems": [system.to_json() for system in self.systems]}


@dataclass(frozen=True)
class Trial:
    """The two models and the people of one evaluation."""

    model: Association  # chooses voices
    evaluator: Association  # evaluates them
    judged: Pairs  # people whom neither model was trained on
    others: Pairs  # people to fit the direct mapping to: neither judged nor training people of the evaluator
    warning: str | None = None  # where a given model does not record its training people


def evaluate_generation(
    store_uri: str,
    speakers_folder: Path,
    config: Config,
    *,
    model_folder: Path | None = None,
    evaluator_folder: Path | None = None,
    people: int = 100,
    voices: int = 3,
    where: str | None = None,
    out: Path | None = None,
    face_space: str | None = None,
    voice_space: str | None = None,
) -> GenerationEvaluation:
    """Returns the figures of all systems, and writes them with a chart to `out` if given.

    Args:
        store_uri: the store whose people are judged.
        speakers_folder: the folder of generator and signature, made by `fit-speakers` and `distill`.
        config: its section `generate` configures the systems, and `train` the models that are trained here.
        model_folder, evaluator_folder: the model that chooses and the one that evaluates. Without them, both are
            trained here, each on half of the people who are not judged.
        people: the maximum number of people to judge, drawn by `generate.seed`.
        voices: the number of voices of each system for each person.
        where: an SQL filter over clips.
        out: the folder for generation.json and generation.png.
        face_space, voice_space: the spaces to train models in; None if the store has one of each. Given models have
            their own.

    Raises:
        InputError, StoreError: a model is missing or evaluates itself, nobody is left to judge, or encoders differ.
    """
    if config.generate.centre:
        raise InputError("evaluate-generation: found generate.centre; expected models as they are")
    generator, signature = load_speakers(speakers_folder, "informed", config.generate.device)
    config = config.with_tts(made_for=signature.tts if signature else "")
    tts = open_tts(config.generate.tts, config.generate.device)
    check_speaker_space(generator, tts.space, tts.name)
    store = Store.open(store_uri)
    if model_folder and evaluator_folder:
        if face_space or voice_space:
            raise InputError(
                "evaluate-generation: found --face-space or --voice-space with --model, which has its own"
            )
        trial = _given(store_uri, where, model_folder, evaluator_folder, config, people)
    elif model_folder or evaluator_folder:
        raise InputError("evaluate-generation: found one of --model and --evaluator, expected both or neither")
    else:
        spaces = pair_spaces(store, face_space, voice_space)
        trial = _trained(read_pairs(store, where, spaces=spaces), spaces, config, people)
    chosen = _choose(trial, generator, signature, config, voices)
    measured = _measure(trial, chosen, own_pitch(store, trial.judged), tts, config)

    judged = len(set(trial.judged.identity))
    times = draw_people(judged, DRAWS, config.generate.seed)
    result = GenerationEvaluation(
        people=judged,
        voices=voices,
        draws=DRAWS,
        systems=tuple(
            SystemFigures(name, name not in SYSTEMS, metrics.figures(times)) for name, metrics in measured.items()
        ),
        differences={
            f"{a} - {b}": measured[a].minus(measured[b]).figures(times)
            for a, b in COMPARED
            if a in measured and b in measured
        },
        made_by={
            "store": store_uri,
            "where": where,
            "speakers": str(speakers_folder),
            "model": str(model_folder) if model_folder else "trained here",
            "evaluator": str(evaluator_folder) if evaluator_folder else "trained here, on other people",
            "generate": config.generate.model_dump(exclude={"device"}),
        },
        warning=trial.warning,
    )
    if out:
        _write(out, result)
    return result


def _given(
    store_uri: str, where: str | None, model_folder: Path, evaluator_folder: Path, config: Config, people: int
) -> Trial:
    """Returns the trial of two given models, on people whom neither was trained on."""
    model, evaluator = open_model(model_folder, config), open_model(evaluator_folder, config)
    check_evaluator(evaluator, evaluator_folder, model, model_folder)
    pairs = store_pairs(model, store_uri, where)
    seen = training_people(evaluator)
    known = pairs.seen_in(np.union1d(training_people(model), seen))
    if known.all():
        raise InputError(
            f"store {store_uri}: all people were used in training {model_folder} or {evaluator_folder}, "
            "expected people that neither was trained on; give another store"
        )
    judged = _some(pairs, ~known, people, config.generate.seed)
    others = pairs.select(~judged & ~pairs.seen_in(seen))
    return Trial(model, evaluator, pairs.select(judged), others, warning_of(model, evaluator))


def _trained(pairs: Pairs, spaces: tuple[str, str], config: Config, people: int) -> Trial:
    """Returns the trial of two models that are trained here, each on half of the people who are not judged."""
    seed = config.generate.seed
    if (found := len(set(pairs.identity))) < people + 8:
        raise InputError(
            f"found {count(found, 'person', 'people')}, expected at least {people + 8} to judge {people} and to "
            "train two models on the others; lower --people, or give --model and --evaluator"
        )
    judged = _some(pairs, np.ones(len(pairs), bool), people, seed)
    rest = pairs.select(~judged)
    half = rest.folds(2, seed) == 0
    with step("train", 2, "models") as progress:
        model = train_model(rest.select(half), *spaces, config.train)[0]
        progress.advance()
        evaluator = train_model(rest.select(~half), *spaces, config.train)[0]
        progress.advance()
    return Trial(model, evaluator, pairs.select(judged), rest.select(half))


def _some(pairs: Pairs, among: np.ndarray, people: int, seed: int) -> np.ndarray:
    """Returns the mask (C,) bool of the clips of at most `people` people, drawn from those in the mask `among`."""
    names = np.unique(pairs.identity[among])
    return among & np.isin(pairs.identity, np.random.default_rng(seed).permutation(names)[:people])


def _choose(
    trial: Trial, generator: SpeakerGenerator, signature: TTSSignature | None, config: Config, voices: int
) -> dict[str, SpeakerChoice]:
    """Returns the speakers that every reference and system chooses for the judged people."""
    chosen = {}
    with step("choose", len(REFERENCES + SYSTEMS), "systems") as progress:
        for name in REFERENCES + SYSTEMS:
            choice = choose_speakers(
                name, trial.judged, trial.others, trial.model, generator, signature, config.generate, voices
            )
            if choice is None:
                warn(f"{name}: left out; the TTS has its own speaker space, or too few people are left for the fit")
            else:
                chosen[name] = choice
            progress.advance(note=name)
    return chosen


def own_pitch(store: Store, judged: Pairs) -> np.ndarray:
    """Returns the median F0 (m,) in Hz over a person's recordings, by `judged.people()`; NaN without audio."""
    person = dict(zip(judged.clip_id.tolist(), judged.people().tolist(), strict=True))
    pitch_hz: list[list[float]] = [[] for _ in range(max(person.values()) + 1)]
    for clips in in_lists(person):
        for row in store.query("voices", ["clip_id", "audio"], f"clip_id IN ({clips})").to_pylist():
            if row["audio"]:
                pitch_hz[person[row["clip_id"]]].append(median_f0_hz(*read_audio(row["audio"])))
    known = [[pitch for pitch in found if not np.isnan(pitch)] for found in pitch_hz]
    return np.array([np.median(found) if found else np.nan for found in known])


def _measure(
    trial: Trial, chosen: Mapping[str, SpeakerChoice], own_pitch_hz: np.ndarray, tts: TTS, config: Config
) -> dict[str, SpeechMetrics]:
    """Returns the measurements on the speech of all systems, after those on the true pairs."""
    judged, model, evaluator = trial.judged, trial.model, trial.evaluator
    spec = spec_of_space(model.voice_space, model.encoders, config.encoders.voice)
    encoder = open_voice_encoder(spec, config.generate.device)
    person = judged.people()
    people = int(person.max()) + 1
    faces = face_directions(evaluator, judged.faces, person[judged.face_clip].tolist())
    true = mean_direction(judged.voices, person[judged.voice_clip], people)

    unknown = np.full((people, 1), np.nan)
    pair = SpeechMetrics.of(true[:, None], unknown, unknown, unknown, faces, true, evaluator)
    measured = {TRUE: replace(pair, v2v=unknown[:, 0])}  # the true voice compared with itself
    with step("speak", sum(choice.log_likelihood.size for choice in chosen.values()), "voices") as progress:
        for name, choice in chosen.items():
            voices, quality, pitch_hz = [], [], []
            for speaker in choice.speakers.reshape(-1, choice.speakers.shape[2]):
                wave = tts.synthesize(SENTENCES[0], speaker)
                voices.append(encoder.embed([prepare_speech(wave, tts.sample_rate_hz, encoder.sample_rate_hz)])[0])
                quality.append(speech_quality(wave, tts.sample_rate_hz))
                pitch_hz.append(median_f0_hz(wave, tts.sample_rate_hz))
                progress.advance(note=name)
            shape = choice.log_likelihood.shape
            embeddings = np.stack(voices).reshape(*shape, -1)
            away = np.abs(semitones(np.reshape(pitch_hz, shape), own_pitch_hz[:, None]))
            measured[name] = SpeechMetrics.of(
                embeddings, choice.log_likelihood, np.reshape(quality, shape), away, faces, true, evaluator
            )
    return measured


def _write(out: Path, result: GenerationEvaluation) -> None:
    """Writes generation.json and generation.png."""
    from pipelines.html.plots import plot_systems

    write_text(out / "generation.json", json.dumps(result.to_json(), indent=2, allow_nan=False) + "\n")
    labels = {
        "f2v": "cosine with the face (f2v)",
        "v2v": "cosine with the person's voice (v2v)",
        "log_likelihood": "log-likelihood of the speaker",
    }
    plot_systems(out / "generation.png", [system.to_json() for system in result.systems], labels)
