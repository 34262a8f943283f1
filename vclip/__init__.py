"""Vclip: which voices suit which faces. The model library; it knows neither Ray nor LanceDB.

import vclip

model, history = vclip.train(vclip.Pairs.of(store.pairs()), store.face_space, store.voice_space)
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# Where each public name lives; a module is imported when its name is first used.
_HOMES = {
    "Pairs": "vclip.association.pairs",
    "group_people": "vclip.association.clustering.pseudo_identities",
    "AssociationModel": "vclip.association.model",
    "TrainConfig": "vclip.association.training",
    "train": "vclip.association.training",
    "evaluate": "vclip.association.evaluation",
    "cross_validate": "vclip.association.evaluation",
    "compare": "vclip.association.comparison",
    "SpeakerGenerator": "vclip.speakers.generator",
    "TTSSignature": "vclip.speakers.signature",
    "expected_voices": "vclip.speakers.retrieval",
    "suitability": "vclip.speakers.retrieval",
    "pick_diverse": "vclip.speakers.retrieval",
    "Search": "vclip.speakers.voice_search",
    "SearchConfig": "vclip.speakers.voice_search",
    "open_face_encoder": "vclip.encoders",
    "open_voice_encoder": "vclip.encoders",
    "open_tts": "vclip.tts",
    "InputError": "vclip.errors",
    "SpaceError": "vclip.errors",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vclip' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
