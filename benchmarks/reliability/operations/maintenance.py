"""Maintenance of a whole store: optimize, merge, migrate and repair."""

import os
import zipfile

from pyarrow import fs

from benchmarks.reliability.operations import Operation
from benchmarks.reliability.operations.starts import made, opened, place, state
from pipelines.maintenance.merge import merge
from pipelines.maintenance.optimize import optimize
from stores import Store, run_id
from stores.maintenance.check import check, repair
from tests.support import ROOT
from tests.support.store_world import FACES, LATER, VOICES, crashed_commit, video


def crashed(where: str) -> None:
    """Makes a store in which a commit stopped half-way."""
    made(where)
    crashed_commit(opened(where), [video(9, run_id())])


def two(where: str) -> None:
    """Makes two stores that share a video."""
    made(where)
    other = Store.create(f"{where}/other", FACES, VOICES)
    other.commit([video(2, LATER, "b"), video(21, LATER), video(22, LATER)])
    other.reject([other.query("clips", ["clip_id"])["clip_id"][0].as_py()], "bob", "x")


def old(where: str) -> None:
    """Unpacks a store of version 1."""
    archive = zipfile.ZipFile(ROOT / "tests" / "stores" / "store_v1.zip")
    if "://" not in where:
        archive.extractall(place(where))
        return
    system, path = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"], scheme="http"), where[5:]
    for name in (name for name in archive.namelist() if not name.endswith("/")):
        with system.open_output_stream(f"{path}/store/{name}") as file:
            file.write(archive.read(name))


def damaged(where: str) -> None:
    """Makes a store with a row twice, faces and a voice without a clip, and a commit that stopped half-way."""
    crashed(where)
    tables = {name: opened(where).db.open_table(name) for name in ("faces", "clips")}
    tables["faces"].add(tables["faces"].to_arrow().slice(0, 1))
    clip_id = tables["clips"].to_arrow()["clip_id"][5].as_py()
    tables["clips"].delete(f"clip_id = '{clip_id}'")


def repair_store(where: str) -> None:
    """Mends what a check finds."""
    store = opened(where)
    repair(store, check(store, {}), 0.0)


OPERATIONS = [
    Operation("optimize", crashed, lambda where: optimize(place(where), 0.0), state),
    Operation("merge stores", two, lambda where: merge([f"{where}/other"], place(where)), state, whole=False),
    Operation("migrate", old, lambda where: Store.migrate(place(where)), state),
    Operation("check --repair", damaged, repair_store, state, whole=False),
]
