"""`vclip evaluate-generation`: do the voices that are chosen for faces suit them, in the eyes of another model?

All systems get the same people, whom neither model was trained on; what they choose is spoken by the TTS and embedded
again, so that what is judged is what is heard. Per person the mean over the voices counts; people are bootstrapped.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.association.evaluate import open_model
from pipelines.association.train import read_pairs
from pipelines.config import Config
from pipelines.generation.distill import SENTENCES
from pipelines.generation.session import check_evaluator, check_speaker_space, load_speakers
from pipelines.progress import say, step
from stores import Store
from vclip.association.base import Association
from vclip.association.metrics import draw_people
from vclip.association.metrics.bootstrap import DRAWS
from vclip.association.pairs import Pairs, mean_direction
from vclip.association.training import train as train_model
from vclip.audio import prepare_speech
from vclip.encoders import open_voice_encoder, spec_of_space
from vclip.errors import InputError
from vclip.speakers.baselines import DIRECT, DRAWN, REFERENCES, SYSTEMS, choose_speakers
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.metrics import SpeechMetrics
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice_search import face_directions
from vclip.tts import open_tts
from vclip.tts.quality import speech_quality

TRUE = "true pair"
# The claims that the table is for: the first should be above the second.
RIVALS = (("naive", DRAWN), ("informed", "naive"), ("guided", "informed"), ("informed", DIRECT), ("guided", DIRECT))


@dataclass(frozen=True)
class Trial:
    """Who chooses, who judges, and whom it is about."""

    model: Association
    evaluator: Association
    judged: Pairs  # people whom neither was trained on
    others: Pairs  # people to fit the direct mapping to: neither judged nor known to the evaluator


def evaluate_generation(
    store_uri: str,
    speakers_folder: Path,
    config: Config,
    model_folder: Path | None = None,
    evaluator_folder: Path | None = None,
    people: int = 100,
    voices: int = 3,
    where: str | None = None,
    out: Path | None = None,
) -> dict[str, Any]:
    """Returns the table of all systems, and writes it with a picture to `out` if given.

    Args:
        store_uri: whose people are judged.
        speakers_folder: generator and signature, made by `fit-speakers` and `distill`.
        config: its section `generate` is that of the systems, `train` that of the models where they are not given.
        model_folder, evaluator_folder: who chooses and who judges. Without them both are trained here, each on half
            of the people who are not judged.
        people: judged, at most; drawn by `generate.seed`.
        voices: of each system for each person.
        where: SQL filter over clips.
        out: gets generation.json and generation.png.

    Raises:
        InputError, StoreError: a model is missing or judges itself, nobody is left to judge, or encoders differ.
    """
    seed = config.generate.seed
    generator, signature = load_speakers(speakers_folder, "informed")
    store = Store.open(store_uri)
    pairs = read_pairs(store, where)
    if model_folder and evaluator_folder:
        trial = _given(pairs, model_folder, evaluator_folder, config, people)
    elif model_folder or evaluator_folder:
        raise InputError("evaluate-generation: found one of --model and --evaluator, expected both or neither")
    else:
        trial = _trained(pairs, (store.face_space, store.voice_space), config, people)
    heard = _hear(trial, generator, signature, config, voices)
    people = len(set(trial.judged.identity))
    times = draw_people(people, DRAWS, seed)
    result = {
        "people": people,
        "voices": voices,
        "draws": DRAWS,
        "systems": [
            {"system": name, "reference": name not in SYSTEMS, **row.figures(times)} for name, row in heard.items()
        ],
        "differences": {
            f"{a} - {b}": heard[a].minus(heard[b]).figures(times) for a, b in RIVALS if a in heard and b in heard
        },
        "made_by": {
            "store": store_uri,
            "where": where,
            "speakers": str(speakers_folder),
            "model": str(model_folder) if model_folder else "trained here",
            "evaluator": str(evaluator_folder) if evaluator_folder else "trained here, on other people",
            "generate": config.generate.model_dump(),
        },
    }
    if out:
        write(out, result)
    return result


def write(out: Path, result: Mapping[str, Any]) -> None:
    """Writes generation.json and generation.png."""
    from pipelines.html.plots import plot_systems

    out.mkdir(parents=True, exist_ok=True)
    (out / "generation.json").write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    measures = {"f2v": "f2v", "v2v": "v2v", "log_likelihood": "log-likelihood"}
    plot_systems(out / "generation.png", result["systems"], measures)


def _given(pairs: Pairs, model_folder: Path, evaluator_folder: Path, config: Config, people: int) -> Trial:
    model, evaluator = open_model(model_folder, config), open_model(evaluator_folder, config)
    check_evaluator(evaluator, evaluator_folder, model, model_folder)
    known = pairs.seen_in(np.union1d(model.seen, evaluator.seen))
    if known.all():
        raise InputError(f"everyone in the store had a part in the training of {model_folder} or {evaluator_folder}")
    judged = _some(pairs, ~known, people, config.generate.seed)
    return Trial(model, evaluator, pairs.select(judged), pairs.select(~judged & ~pairs.seen_in(evaluator.seen)))


def _trained(pairs: Pairs, spaces: tuple[str, str], config: Config, people: int) -> Trial:
    seed = config.generate.seed
    if len(set(pairs.identity)) < people + 8:
        raise InputError(
            f"found {len(set(pairs.identity))} people, expected at least {people + 8} to judge {people} and to train "
            "two models on the others; lower --people, or give --model and --evaluator"
        )
    judged = _some(pairs, np.ones(len(pairs), bool), people, seed)
    rest = pairs.select(~judged)
    half = rest.folds(2, seed) == 0
    models = []
    with step("train", 2, "models") as progress:
        for clips in (half, ~half):
            models.append(train_model(rest.select(clips), *spaces, config.train)[0])
            progress.advance()
    return Trial(*models, pairs.select(judged), rest.select(half))


def _some(pairs: Pairs, among: np.ndarray, people: int, seed: int) -> np.ndarray:
    """Returns which clips (C,) bool are of so many people, drawn from those of a mask."""
    names = np.unique(pairs.identity[among])
    return among & np.isin(pairs.identity, np.random.default_rng(seed).permutation(names)[:people])


def _hear(
    trial: Trial, generator: SpeakerGenerator, signature: TTSSignature | None, config: Config, voices: int
) -> dict[str, SpeechMetrics]:
    """Lets every system choose, speaks it all, and returns what was heard; first of all the true pairs."""
    judged, evaluator = trial.judged, trial.evaluator
    tts, listener = (
        open_tts(config.generate.tts),
        open_voice_encoder(spec_of_space(trial.model.voice_space, trial.model.encoders, config.encoders.voice)),
    )
    check_speaker_space(generator, tts.space, tts.name)
    person = judged.people()
    m = int(person.max()) + 1
    faces = face_directions(evaluator, judged.faces, person[judged.face_clip])
    true = mean_direction(judged.voices, person[judged.voice_clip], m)
    asked = {}
    with step("choose", len(REFERENCES + SYSTEMS), "systems") as progress:
        for name in REFERENCES + SYSTEMS:
            choice = choose_speakers(
                name, judged, trial.others, trial.model, generator, signature, config.generate, voices
            )  # fmt: skip
            if choice is None:
                say(f"{name}: left out; the TTS has a speaker space of its own, or there is nobody to fit it to")
            else:
                asked[name] = choice
            progress.advance(note=name)
    unknown = np.full((m, 1), np.nan)
    pair = SpeechMetrics.of(true[:, None], unknown, unknown, faces, true, evaluator)
    heard = {TRUE: replace(pair, v2v=unknown[:, 0])}  # a voice is itself
    with step("speak", sum(choice.log_likelihood.size for choice in asked.values()), "voices") as progress:
        for name, choice in asked.items():
            spoken, quality = [], []
            for speaker in choice.speakers.reshape(-1, choice.speakers.shape[2]):
                wave = tts.synthesize(SENTENCES[0], speaker)
                spoken.append(listener.embed([prepare_speech(wave, tts.sample_rate_hz, listener.sample_rate_hz)])[0])
                quality.append(speech_quality(wave, tts.sample_rate_hz))
                progress.advance(note=name)
            shape = choice.log_likelihood.shape
            spoken, quality = np.stack(spoken).reshape(*shape, -1), np.reshape(quality, shape)
            heard[name] = SpeechMetrics.of(spoken, choice.log_likelihood, quality, faces, true, evaluator)
    return heard
