"""How generated voices are judged (Vclip, section 3.3): v2v, f2v under a separate evaluator, likelihood."""

import numpy as np

from vclip.association.protocol import Association
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.generator import GeneratorConfig, SpeakerGenerator, fit_generator

EVALUATOR_COMPONENTS = 4


def v2v(generated: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns the cosines (n,) of generated voices (n, dim) with the true voices (n, dim) of the same people."""
    return np.einsum("nd,nd->n", _unit(generated), _unit(true))


def f2v(evaluator: Association, faces: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Returns the cosines (n,) of faces (n, d_face) with the voices (n, d_voice) generated for them.

    `evaluator` must be another model than the one that chose the voices, trained on other people.
    """
    return np.einsum("nd,nd->n", evaluator.embed_faces(faces), evaluator.embed_voices(generated))


def likelihood_model(known: SpeakerBank, seed: int = 0) -> SpeakerGenerator:
    """Returns the 4-component mixture over known speakers under which generated voices are judged."""
    per_component = max(1, len(known) // EVALUATOR_COMPONENTS)
    config = GeneratorConfig(max_components=EVALUATOR_COMPONENTS, speakers_per_component=per_component, seed=seed)
    return fit_generator(known, config)[0]


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)
