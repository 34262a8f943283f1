"""Only a store is opened as one; what else lies there is named and left as it was."""

import zipfile
from pathlib import Path

import lancedb
import pyarrow as pa
import pytest

from stores import Store, StoreError, schema
from stores.maintenance import migrations
from stores.maintenance.compact import sweep
from tests.support.store_world import FACES, LATER, VOICES, contents, video


def _tree(path: Path) -> list[tuple[str, int]]:
    return sorted((str(entry), entry.stat().st_size if entry.is_file() else 0) for entry in path.rglob("*"))


def _missing(path: Path) -> None:
    pass


def _empty(path: Path) -> None:
    path.mkdir()


def _file(path: Path) -> None:
    path.write_text("hello")


def _other_folder(path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text("hello")


def _other_lancedb(path: Path) -> None:
    lancedb.connect(str(path)).create_table("videos", pa.table({"title": ["x"]}))


def _broken_table(path: Path) -> None:
    versions = path / "videos.lance" / "_versions"
    versions.mkdir(parents=True)
    (versions / "1.manifest").write_bytes(b"torn")


@pytest.mark.parametrize(
    ("lies_there", "message"),
    [
        (_missing, "no such folder, expected a vclip store"),
        (_empty, "found an empty folder, expected a vclip store"),
        (_file, "found a file, expected a vclip store"),
        (_other_folder, "found a folder with notes.txt, expected a vclip store"),
        (_other_lancedb, "found a LanceDB with the tables videos, expected a vclip store"),
        (_broken_table, "expected a vclip store|cannot be reached"),
    ],
)
def test_what_is_no_store_is_named_and_left_alone(tmp_path, lies_there, message):
    path = tmp_path / "place"
    lies_there(path)
    before = _tree(tmp_path)
    with pytest.raises(StoreError, match=message) as caught:
        Store.open(str(path))
    assert "\n" not in str(caught.value)
    assert _tree(tmp_path) == before
    if lies_there not in (_missing, _empty):
        with pytest.raises(StoreError):
            Store.create(str(path), FACES, VOICES, exist_ok=True)
        with pytest.raises(StoreError):
            Store.create(str(path), FACES, VOICES)
        assert _tree(tmp_path) == before


@pytest.mark.parametrize("lies_there", [_missing, _empty])
def test_a_store_is_created_once_and_opened_again(tmp_path, lies_there):
    lies_there(tmp_path / "place")
    uri = f"file://{tmp_path / 'place'}"
    Store.create(uri, FACES, VOICES, exist_ok=True).commit([video(1)])
    again = Store.create(tmp_path / "place", FACES, VOICES, exist_ok=True)
    assert again.count("clips") == 2
    assert again.spaces("faces") == FACES
    assert (again.face_space, again.voice_space) == (*FACES, *VOICES)
    with pytest.raises(StoreError, match="open it instead"):
        Store.create(uri, FACES, VOICES)


def test_an_interrupted_creation_is_finished(tmp_path):
    uri = str(tmp_path / "place")
    lancedb.connect(uri).create_table("generations", schema=schema.schema("generations"))
    with pytest.raises(StoreError, match="creation was interrupted"):
        Store.open(uri)
    Store.create(uri, FACES, VOICES, exist_ok=True).commit([video(1)])
    assert Store.open(uri).count("clips") == 2


@pytest.mark.parametrize("table", schema.TABLES)
def test_a_table_whose_creation_was_interrupted_is_created_again(tmp_path, table):
    uri = str(tmp_path / "place")
    for made in schema.TABLES[schema.TABLES.index(table) + 1 :]:
        spaces = {"faces": FACES, "voices": VOICES}.get(made)
        lancedb.connect(uri).create_table(made, schema=schema.schema(made, spaces))
    (tmp_path / "place" / f"{table}.lance" / "_versions").mkdir(parents=True)
    with pytest.raises(StoreError, match="creation was interrupted"):
        Store.open(uri)
    Store.create(uri, FACES, VOICES, exist_ok=True).commit([video(1)])
    assert Store.open(uri).count("clips") == 2


def test_other_encoders_are_an_error_that_names_both(store):
    with pytest.raises(StoreError, match=r"'dlib/resnet-v1-128/crop1' \(8-d\), asked for 'clip/x' \(512-d\)"):
        Store.open(store.uri, faces={"clip/x": 512})
    with pytest.raises(StoreError, match=r"\(6-d\), asked for 'resemblyzer/ge2e-256' \(256-d\)"):
        Store.create(store.uri, FACES, {"resemblyzer/ge2e-256": 256}, exist_ok=True)


def test_a_table_that_is_gone_is_named(store):
    store.db.drop_table("voices")
    with pytest.raises(StoreError, match="the table voices is missing"):
        Store.open(store.uri)


def test_a_newer_store_is_refused(store):
    metadata = {schema.VERSION_KEY.decode(): "6"}
    store.db.open_table("videos").to_lance().update_schema_metadata(metadata)
    for act in (Store.open, Store.migrate):
        with pytest.raises(StoreError, match="schema version 6, this vclip knows 5"):
            act(store.uri)


def test_a_migration_that_was_interrupted_continues(store):
    store.commit([video(1)])
    with pytest.raises(StoreError, match="no migration from schema version 5"):
        migrations.run(store.db, store.uri, 7, {})

    def add_note(db):
        if "note" not in db.open_table("clips").schema.names:  # a step may run twice
            db.open_table("clips").add_columns({"note": "concat('from ', video_id)"})

    def crash(db):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrations.run(store.db, store.uri, 7, {5: add_note, 6: crash})
    assert migrations.run(store.db, store.uri, 7, {5: crash, 6: add_note}) == [6, 7]
    migrated = Store(store.uri, store.db)
    assert migrated.query("clips", ["note"], limit=1)["note"].to_pylist() == ["from video0001"]
    assert len(migrated.pairs()["clip_id"]) == 2
    assert migrations.run(store.db, store.uri, 7, {}) == [7]


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_an_older_store_keeps_all_that_it_holds(tmp_path, version):
    """store_v*.zip were made by the code of their time: three videos, one of them replaced, and a crashed commit."""
    uri = str(tmp_path / "store")
    zipfile.ZipFile(Path(__file__).parent / f"store_v{version}.zip").extractall(uri)
    with pytest.raises(StoreError, match=rf"found schema version {version}, expected 5; run `vclip migrate"):
        Store.open(uri)
    assert Store.migrate(uri) == list(range(version, 6))
    assert Store.migrate(uri) == [5]
    migrated, same = Store.open(uri, FACES, VOICES), Store.create(str(tmp_path / "same"), FACES, VOICES)
    same.commit([video(0), video(1, LATER, "b", clips=1), video(2, clips=0)])
    same.add_uris({"video0000": ["/copy.mp4"]})
    without = ("created_at", "revision")
    assert contents(migrated, without) == contents(same, without)
    assert migrated.speakers()["speaker_id"].to_pylist() == ["a"]
    assert migrated.query("runs").num_rows == min(version, 2) - 1
    assert migrated.kept_voices()["name"].to_pylist() == ["narrator"] * (version > 3)
    assert migrated.edits() == []
    for table in schema.TABLES:
        assert set(migrated.db.open_table(table).schema) == set(same.db.open_table(table).schema), table
    migrated.commit([video(0, LATER, "b"), video(7)])
    revisions = migrated.query("videos", ["revision"], order="video_id")["revision"].to_pylist()
    assert revisions == ([2, 1, 1, 1] if version == 1 else [3, 2, 1, 1])
    assert sweep(migrated, older_than_s=0) == 8 * min(version, 2)  # of the crashed commit


def test_a_stores_repr_reads_nothing_and_its_summary_counts(store):
    store.commit([video(1), video(2)])
    assert store.summary() == (
        f"store {store.uri}: 2 videos, 4 clips, faces in dlib/resnet-v1-128/crop1, voices in resemblyzer/ge2e-256"
    )
    for table in store.db.list_tables().tables:
        store.db.drop_table(table)
    assert repr(store) == f"Store('{store.uri}')", "a debugger prints it, whatever became of the store"
