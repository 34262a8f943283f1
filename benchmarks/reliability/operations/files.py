"""Reading vectors from files, and writing files: exports, models, and speech with its sidecars."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.reliability.operations import Operation
from benchmarks.reliability.operations.starts import made, nothing, place, state
from benchmarks.reliability.states import State, digest, files_state
from pipelines.analysis.export import export
from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.importers.features import import_features
from vclip.association.model import AssociationConfig, AssociationModel


def archive(kind: str) -> str:
    """Returns the file of vectors, which lies on the disk also where the store is in a bucket."""
    return str(Path(os.environ["FAULTS_ROOT"]).parent / f"{kind}.npz")


def vectors(where: str) -> None:
    """Makes the files of vectors."""
    nothing(where)
    rng = np.random.default_rng(0)
    named = [f"{person}/{video}/{number}" for person in "ab" for video in "xy" for number in range(2)]
    for kind, dim in (("faces", 8), ("voices", 6)):
        of_kind: dict[str, Any] = {name: rng.normal(size=dim).astype(np.float32) for name in named}
        np.savez(archive(kind), **of_kind)


def import_vectors(where: str) -> None:
    """Imports the files of vectors."""
    import_features(archive("faces"), archive("voices"), place(where), "f", "v")


def export_as(where: str, format: str) -> None:
    """Exports a store unless that was done."""
    if not Path(where, "out").exists():
        export(place(where), Path(where, "out"), format)


def exported(where: str) -> State:
    """Returns the files of an export; its description and its archives hold times."""
    found = files_state(f"{where}/out")
    return {name: "" if name == "export.json" or name.endswith(".tar") else of for name, of in found.items()}


def save_model(where: str, value: float) -> None:
    """Saves a model whose weights are all of one value."""
    nothing(where)
    torch.manual_seed(0)
    model = AssociationModel("f", "v", 4, 3, AssociationConfig(hidden=5))
    for weights in model.parameters():
        torch.nn.init.constant_(weights, value)
    model.save(Path(where) / "model", {"auc": value})


def write_output(where: str) -> None:
    """Writes speech files, each with its sidecar."""
    output = Output(f"{where}/out", RemoteConfig(retries=0))
    for number in range(4):
        output.write(f"speech/{number}.wav", [bytes([number]) * 100_000] * 3)
        output.write(f"speech/{number}.json", [b'{"number": %d}' % number])


def output_state(where: str) -> State:
    """Returns the speech files and sidecars; a sidecar may never be there without its speech."""
    output = Output(f"{where}/out", RemoteConfig())
    found = {name: digest(output.read(name)) for name in output.names()}
    if sidecars_alone(set(found)):
        return {"sidecar without speech": ""}
    return found


def sidecars_alone(names: set[str]) -> bool:
    """Returns whether there is a sidecar without its speech."""
    return any(name.endswith(".json") and f"{name.removesuffix('.json')}.wav" not in names for name in names)


OPERATIONS = [
    Operation("import features", vectors, import_vectors, state, whole=False),
    Operation("export parquet", made, partial(export_as, format="parquet"), exported, bucket=False),
    Operation("export webdataset", made, partial(export_as, format="webdataset"), exported, bucket=False),
    Operation("save a model", nothing, partial(save_model, value=2.0), files_state, bucket=False),
    Operation(
        "replace a model", partial(save_model, value=1.0), partial(save_model, value=2.0), files_state, bucket=False
    ),
    Operation("speech files and sidecars", nothing, write_output, output_state, whole=False),
]
