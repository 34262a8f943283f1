"""`vclip compare`: is one model better than another, or were the people of the test only kind to it?"""

import json
from pathlib import Path
from typing import Any

from pipelines.config import Config
from pipelines.evaluate import At, open_model, store_pairs, unseen_pairs
from vclip.association.comparison import compare as compare_models
from vclip.errors import SpaceError


def compare(
    a: Path, b: Path, store_uri: str, config: Config, where: str | None = None, out: Path | None = None, at: At = None
) -> dict[str, Any]:
    """Returns the figures of two models on the same trials, and of their difference; writes them to `out` if given.

    People that had a part in the training of either are left out, and it is said how many.

    Args:
        a, b: checkpoint folders.
        store_uri: whose clips.
        config: its `train.seed` draws people.
        where: SQL filter over clips.
        out: gets comparison.json.
        at: the state of the store to read, a tag or a version; the newest if None.

    Raises:
        InputError, StoreError: no model, no store, no pairs, nobody unseen by both, or other encoders.
    """
    first, second = open_model(a, config), open_model(b, config)
    for name in ("face_space", "voice_space"):
        if getattr(first, name) != getattr(second, name):
            raise SpaceError(getattr(second, name), getattr(first, name), f"models {a} and {b}")
    pairs = store_pairs(first, store_uri, where, at)
    for model, folder in ((first, a), (second, b)):
        pairs = unseen_pairs(model, pairs, store_uri, folder)
    made_by = {"a": str(a), "b": str(b), "store": store_uri, "store_at": at, "where": where}
    made_by = {name: value for name, value in made_by.items() if value is not None}
    result = {**compare_models(first, second, pairs, config.train.seed).to_json(), "made_by": made_by}
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "comparison.json").write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    return result
