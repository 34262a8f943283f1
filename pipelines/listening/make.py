"""`vclip listening-test make`: a page to hand out, and the key to it.

Each item of the page is a face and a sound under a random name, in the order of the names; which system made it
stands in the key alone. Every listener rates every item twice: the sound by itself, and the sound with the face.
"""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vclip
from pipelines.analysis.whole_folder import whole_folder
from pipelines.config import Config
from pipelines.listening.page import page
from pipelines.listening.references import REFERENCES, read_references
from pipelines.listening.speech import Pictures, read_system
from pipelines.listening.stimuli import picture_file, sound_files
from pipelines.progress import step
from vclip.errors import InputError

PAGE, KEY = "test.html", "key.json"


def make(
    systems: Mapping[str, Path],
    out: Path,
    config: Config,
    store_uri: str | None = None,
    where: str | None = None,
    items: int = 10,
    pairs: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes test.html and key.json; returns how many items each system has.

    Args:
        systems: their names, and where their speech is; see `pipelines.listening.speech`.
        out: a new or empty folder.
        config: its sections `extraction` and `remote`, to find the faces in the photos.
        store_uri: whose true and random pairs are among the items; none without it.
        where: SQL filter over its clips.
        items: of each system, at most.
        pairs: true ones and random ones, at most.
        seed: draws items and pairs. Names and order of the items are random each time.

    Raises:
        InputError, StoreError: speech, faces or the store cannot be used, or `out` is not empty.
    """
    if reserved := sorted({*systems} & {*REFERENCES}):
        raise InputError(f"system '{reserved[0]}': found the name of a reference, expected another")
    with whole_folder(out) as folder:
        pictures, stimuli = Pictures(config), []
        with step("gather", len(systems) + bool(store_uri), "systems") as progress:
            for name, path in systems.items():
                stimuli += read_system(name, path, items, seed, pictures)
                progress.advance(note=name)
            if store_uri:
                stimuli += read_references(store_uri, where, pairs, seed)
                progress.advance(note="references")
        test, names = secrets.token_hex(8), [secrets.token_hex(8) for _ in stimuli]
        files = zip(names, stimuli, sound_files(stimuli), strict=True)
        shown = {name: (picture_file(stimulus.picture), sound) for name, stimulus, sound in files}
        key = {
            "test": test,
            "vclip": vclip.__version__,
            "systems": {name: str(path) for name, path in systems.items()},
            "store": store_uri,
            "where": where,
            "seed": seed,
            "items": {
                name: {"system": stimulus.system, "face": stimulus.face, **stimulus.told}
                for name, stimulus in zip(names, stimuli, strict=True)
            },
        }
        (folder / PAGE).write_text(page(test, shown), encoding="utf-8")
        (folder / KEY).write_text(json.dumps(key, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    counts = {name: sum(stimulus.system == name for stimulus in stimuli) for name in (*systems, *REFERENCES)}
    size_mb = (out / PAGE).stat().st_size / 1e6
    return {
        "page": str(out / PAGE), "key": str(out / KEY), "items": {k: n for k, n in counts.items() if n},
        "ratings_a_listener": 2 * len(stimuli), "page_mb": round(size_mb, 1),
    }  # fmt: skip
