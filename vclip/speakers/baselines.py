"""The systems that an evaluation compares on the same faces, and the references beside them (Vclip, table 3)."""

from dataclasses import dataclass

import numpy as np
import torch

from vclip.association.base import Association
from vclip.association.linear import STRENGTHS, Folds, ridge_maps, rules
from vclip.association.pairs import Pairs, clip_means, mean_direction
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.metrics import held_out_likelihood, likelihood_model
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice_search import Search, SearchConfig, face_directions


@dataclass(frozen=True)
class DirectMapping:
    """A fitted ridge regression from faces directly to speaker vectors: the baseline without retrieval.

    e = mean_v + (f_i(x) - mean_i) W,    W = (C_ii + r I)^-1 C_iv
    """

    face_mean: np.ndarray  # (d_face,)
    voice_mean: np.ndarray  # (d_voice,)
    weights: np.ndarray  # (d_face, d_voice)

    @classmethod
    def fit(cls, pairs: Pairs, seed: int = 0) -> "DirectMapping":
        """Returns the regression of the clips' voices on their faces; cross-validation chooses the strength r."""
        faces = torch.as_tensor(clip_means(pairs.faces, pairs.face_clip, len(pairs)))
        voices = torch.as_tensor(clip_means(pairs.voices, pairs.voice_clip, len(pairs)))
        folds = Folds(faces, voices, pairs.people(), seed)
        strength, moments = STRENGTHS[folds.best(rules(ridge_maps, STRENGTHS))[0]], folds.whole
        of_faces, _, between = moments.covariances()
        penalty = strength * of_faces.diagonal().mean() * torch.eye(len(of_faces), dtype=of_faces.dtype)
        weights = torch.linalg.solve(of_faces + penalty, between)
        face_mean, voice_mean = ((total / moments.count).numpy() for total in (moments.face, moments.voice))
        return cls(face_mean, voice_mean, weights.numpy())

    def __call__(self, faces: np.ndarray) -> np.ndarray:
        """Returns voices (n, d_voice) for faces (n, d_face), before `SpeakerGenerator.on_range`."""
        return self.voice_mean + (faces - self.face_mean) @ self.weights


CLONED, KNOWN = "true voice cloned", "known speakers"
DRAWN, DIRECT = "no retrieval", "direct mapping"
REFERENCES = (CLONED, KNOWN)
SYSTEMS = (DRAWN, DIRECT, "naive", "informed", "guided")
MIN_PEOPLE = 10  # for a fit of the direct mapping


@dataclass(frozen=True)
class SpeakerChoice:
    """The speakers that a system chooses for the TTS to speak with."""

    speakers: np.ndarray  # (m, k, dim) float32; k = 1 for references and systems that give one voice
    log_likelihood: np.ndarray  # (m, k) under `metrics.likelihood_model`


def choose_speakers(
    name: str,
    judged: Pairs,
    others: Pairs,
    model: Association,
    generator: SpeakerGenerator,
    signature: TTSSignature | None,
    config: SearchConfig,
    voices: int,
) -> SpeakerChoice | None:
    """Returns the speakers that a system or a reference chooses, or None where it cannot choose any.

    The naive score, the direct mapping and the cloned voice need speaker vectors in the space of the voice encoder;
    the direct mapping also needs MIN_PEOPLE to be fitted to.

    Args:
        name: one of REFERENCES or SYSTEMS.
        judged: pairs of the m people to choose voices for, numbered by `judged.people()`.
        others: pairs of the people to fit the direct mapping to.
        model, generator, signature: the models of the search.
        config: the configuration of the search.
        voices: k, the number of voices for each person.
    """
    person = judged.people()
    m = int(person.max()) + 1
    face, voice = person[judged.face_clip], person[judged.voice_clip]
    same_space = generator.space == model.voice_space
    if name == KNOWN:  # each under a mixture fitted without it
        row = np.random.default_rng(config.seed).integers(len(generator.bank), size=(m, voices))
        return SpeakerChoice(generator.bank.vectors[row], held_out_likelihood(generator.bank, config.seed)[row])
    if name == DRAWN:  # not the draw of the candidates
        speakers = generator.sample(m * voices, config.seed + 1).reshape(m, voices, -1)
    elif name == CLONED and same_space:
        speakers = mean_direction(judged.voices, voice, m)[:, None]
    elif name == DIRECT and same_space and len(set(others.identity)) >= MIN_PEOPLE:
        mapped = DirectMapping.fit(others, config.seed)(judged.faces)
        speakers = generator.on_range(mean_direction(mapped, face, m))[:, None]
    elif name in ("informed", "guided") or (name == "naive" and same_space):
        search = Search(model, generator, signature, config.model_copy(update={"score": name}))
        speakers = search.find(face_directions(model, judged.faces, face), voices).speakers
    else:
        return None
    prior = likelihood_model(generator.bank, config.seed)
    return SpeakerChoice(speakers, prior.log_likelihood(speakers.reshape(-1, speakers.shape[2])).reshape(m, -1))
