"""Vclip: which voices suit which faces. The model library; it knows neither Ray nor LanceDB.

import vclip

model, history = vclip.train(vclip.Pairs.of(store.pairs()), store.face_space, store.voice_space)
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Torch's threads sleep while they wait for each other; its OpenMP reads this as it is loaded. On two cores that other
# work kept busy, 40 steps on 850 pairs took 25 s on one thread, 53 s on two that sleep, over 150 s on two that spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from vclip.association.clustering.pseudo_identities import group_people as group_people
    from vclip.association.comparison import compare as compare
    from vclip.association.evaluation import cross_validate as cross_validate
    from vclip.association.evaluation import evaluate as evaluate
    from vclip.association.methods import METHODS as METHODS
    from vclip.association.methods import load as load_association  # noqa: F401
    from vclip.association.model import AssociationModel as AssociationModel
    from vclip.association.pairs import Pairs as Pairs
    from vclip.association.training import TrainConfig as TrainConfig
    from vclip.association.training import train as train
    from vclip.association.trials.evaluation import evaluate_trials as evaluate_trials
    from vclip.association.trials.lists import read_trials as read_trials
    from vclip.encoders import open_face_encoder as open_face_encoder
    from vclip.encoders import open_voice_encoder as open_voice_encoder
    from vclip.errors import InputError as InputError
    from vclip.errors import SpaceError as SpaceError
    from vclip.speakers.bank import SpeakerBank as SpeakerBank
    from vclip.speakers.generator import SpeakerGenerator as SpeakerGenerator
    from vclip.speakers.generator_fit import fit_generator as fit_generator
    from vclip.speakers.signature import TTSSignature as TTSSignature
    from vclip.speakers.signature import fit_signature as fit_signature
    from vclip.speakers.voice import Voice as Voice
    from vclip.speakers.voice_search import Search as Search
    from vclip.speakers.voice_search import SearchConfig as SearchConfig
    from vclip.speakers.voice_search import expected_voices as expected_voices
    from vclip.speakers.voice_search import pick_diverse as pick_diverse
    from vclip.speakers.voice_search import suitability as suitability
    from vclip.tts import open_tts as open_tts

__version__ = "0.1.0"

# Where each public name lives (module:attribute); a module is imported when its name is first used. The imports above
# say the same to a type checker (tested).
_HOMES = {
    "Pairs": "vclip.association.pairs:Pairs",
    "group_people": "vclip.association.clustering.pseudo_identities:group_people",
    "AssociationModel": "vclip.association.model:AssociationModel",
    "TrainConfig": "vclip.association.training:TrainConfig",
    "train": "vclip.association.training:train",
    "METHODS": "vclip.association.methods:METHODS",
    "load_association": "vclip.association.methods:load",
    "evaluate": "vclip.association.evaluation:evaluate",
    "cross_validate": "vclip.association.evaluation:cross_validate",
    "compare": "vclip.association.comparison:compare",
    "read_trials": "vclip.association.trials.lists:read_trials",
    "evaluate_trials": "vclip.association.trials.evaluation:evaluate_trials",
    "SpeakerBank": "vclip.speakers.bank:SpeakerBank",
    "SpeakerGenerator": "vclip.speakers.generator:SpeakerGenerator",
    "fit_generator": "vclip.speakers.generator_fit:fit_generator",
    "TTSSignature": "vclip.speakers.signature:TTSSignature",
    "fit_signature": "vclip.speakers.signature:fit_signature",
    "Voice": "vclip.speakers.voice:Voice",
    "expected_voices": "vclip.speakers.voice_search:expected_voices",
    "suitability": "vclip.speakers.voice_search:suitability",
    "pick_diverse": "vclip.speakers.voice_search:pick_diverse",
    "Search": "vclip.speakers.voice_search:Search",
    "SearchConfig": "vclip.speakers.voice_search:SearchConfig",
    "open_face_encoder": "vclip.encoders:open_face_encoder",
    "open_voice_encoder": "vclip.encoders:open_voice_encoder",
    "open_tts": "vclip.tts:open_tts",
    "InputError": "vclip.errors:InputError",
    "SpaceError": "vclip.errors:SpaceError",
}
__all__ = [*_HOMES, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vclip' has no attribute '{name}'")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
