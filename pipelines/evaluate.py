"""`vclip evaluate`: a model on the people of a store that it was not trained on."""

import json
from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.plots import plot_roc
from pipelines.progress import say
from pipelines.train import read_pairs
from stores import Store
from vclip.association.evaluation import evaluate as evaluate_model
from vclip.association.evaluation import unseen
from vclip.association.model import AssociationModel
from vclip.errors import InputError, SpaceError


def evaluate(
    store_uri: str, model_folder: Path, config: Config, where: str | None = None, out: Path | None = None
) -> dict[str, Any]:
    """Returns the verification figures, and writes them and the ROC curve to `out` if given.

    People that had a part in the model's training are left out, and it is said how many.

    Raises:
        InputError, StoreError: no model, no store, no pairs, or the store was made with other encoders.
    """
    model = AssociationModel.load(model_folder, config.train.device or "cpu")
    store = Store.open(store_uri)
    for expected, found in ((model.face_space, store.spaces("faces")), (model.voice_space, store.spaces("voices"))):
        if expected not in found:
            raise SpaceError(", ".join(found), expected, f"store {store_uri} with model {model_folder}")
    pairs = read_pairs(store, where)
    others = unseen(model, pairs)
    if len(others) < len(pairs):
        left_out = len(pairs) - len(others)
        say(f"left out {left_out} of {len(pairs)} clips: their people had a part in the training of {model_folder}")
    if not len(others):
        raise InputError(
            f"store {store_uri}: everyone in it had a part in the training of {model_folder}; use another"
        )
    result = evaluate_model(model, others, config.train.seed).to_json()
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
        plot_roc(out / "roc.png", {"all negatives": result})
    return result
