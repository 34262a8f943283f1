"""Exports: every format holds what the store holds, and is there whole or not at all."""

import csv
import io
import json
import resource
import tarfile
from dataclasses import replace

import pytest
import soundfile
import yaml
from PIL import Image
from pyarrow import parquet

from pipelines.analysis import export
from pipelines.analysis.clips import ClipMedia, clip_media
from stores import Store
from tests.support.store_world import FACES, VOICES, video
from vclip.errors import InputError


def best_by_a_loop(store):
    """clip_id -> (its clip, its best face, its longest voice)."""
    faces = store.query("faces", ["face_id", "clip_id", "quality", "image"]).to_pylist()
    voices = store.query("voices", ["voice_id", "clip_id", "start_s", "end_s", "audio"]).to_pylist()
    return {
        clip["clip_id"]: (
            clip,
            min((f for f in faces if f["clip_id"] == clip["clip_id"]), key=lambda f: (-f["quality"], f["face_id"])),
            min(
                (v for v in voices if v["clip_id"] == clip["clip_id"]),
                key=lambda v: (v["start_s"] - v["end_s"], v["voice_id"]),
            ),
        )
        for clip in store.query("clips").to_pylist()
    }


def test_rows_come_back_from_every_format(world, tmp_path):
    expected = sorted(world.query("clips").to_pylist(), key=lambda row: row["clip_id"])
    for format in ("parquet", "json", "csv"):
        result = export.export(world.uri, tmp_path / format, format)
        assert result.rows == len(expected)
    rows = parquet.read_table(tmp_path / "parquet" / "clips.parquet").to_pylist()
    assert sorted(rows, key=lambda row: row["clip_id"]) == expected
    rows = [json.loads(line) for line in (tmp_path / "json" / "clips.jsonl").read_text().splitlines()]
    assert sorted(rows, key=lambda row: row["clip_id"]) == expected
    rows = list(csv.DictReader(io.StringIO((tmp_path / "csv" / "clips.csv").read_text())))
    assert {row["clip_id"]: json.loads(row["box"]) for row in rows} == {r["clip_id"]: r["box"] for r in expected}


def test_a_query_and_media_can_be_exported(world, tmp_path):
    sql = "SELECT split, count(*) AS clips FROM clips GROUP BY split"
    export.export(world.uri, tmp_path / "sql", "csv", sql=sql)
    rows = csv.DictReader(io.StringIO((tmp_path / "sql" / "query.csv").read_text()))
    assert {row["split"]: int(row["clips"]) for row in rows} == {"train": 24, "test": 24}
    export.export(world.uri, tmp_path / "faces", "parquet", table="faces", media=True, where="quality > 0.5")
    images = {r["face_id"]: r["image"] for r in parquet.read_table(tmp_path / "faces" / "faces.parquet").to_pylist()}
    found = world.query("faces", ["face_id", "image"], "quality > 0.5").to_pylist()
    assert images == {row["face_id"]: row["image"] for row in found}


def test_webdataset_shards_hold_each_clip_once_with_its_best_media(world, tmp_path):
    result = export.export(world.uri, tmp_path / "shards", "webdataset", shard_mb=0.02)
    assert result.clips == {"test": 24, "train": 24}
    samples, files = {}, [name for name in result.files if name.startswith("train")]
    assert len(files) > 1
    for name in result.files:
        with tarfile.open(tmp_path / "shards" / name) as tar:
            members = tar.getmembers()
            keys = [member.name.partition(".")[0] for member in members]
            assert keys == [key for key in keys[::3] for _ in range(3)]  # the three of a clip are neighbours
            assert sum(member.size for member in members) < 0.02e6 + 10_000
            for member in members:
                key, _, kind = member.name.partition(".")
                samples.setdefault(key, {"split": name[:4].rstrip("-")})[kind] = tar.extractfile(member).read()
    expected = best_by_a_loop(world)
    assert samples.keys() == expected.keys()
    for key, (clip, face, voice) in expected.items():
        sample, about = samples[key], json.loads(samples[key]["json"])
        assert (sample["jpg"], sample["flac"]) == (face["image"], voice["audio"])
        assert about["labels"] == json.loads(clip["labels"])
        assert (about["face"]["face_id"], about["n_faces"]) == (face["face_id"], 2)
        assert about["identity"] == clip["identity"]
        assert clip["split"].startswith(sample["split"])


def test_the_layout_of_datasets(world, tmp_path):
    """As huggingface/datasets documents it; checked once with datasets 5.2.0 itself, which is no dependency."""
    result = export.export(world.uri, tmp_path / "hf", "datasets", shard_mb=0.05)
    expected, found = best_by_a_loop(world), {}
    head = yaml.safe_load((tmp_path / "hf" / "README.md").read_text().split("---\n")[1])
    for entry in head["configs"][0]["data_files"]:
        paths = sorted((tmp_path / "hf").glob(entry["path"]))
        assert [path.name for path in paths] == [
            f"{entry['split']}-{i:05}-of-{len(paths):05}.parquet" for i in range(len(paths))
        ]
        assert len(paths) > 1
        for path in paths:
            table = parquet.read_table(path)
            features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
            assert list(features) == table.column_names
            assert (features["face"]["_type"], features["voice"]["_type"]) == ("Image", "Audio")
            found |= {row["clip_id"]: row | {"split": entry["split"]} for row in table.to_pylist()}
    assert found.keys() == expected.keys()
    assert result.clips == {"test": 24, "train": 24}
    for key, (clip, face, voice) in expected.items():
        row = found[key]
        assert row["face"] == {"bytes": face["image"], "path": f"{face['face_id']}.jpg"}
        assert row["voice"] == {"bytes": voice["audio"], "path": f"{voice['voice_id']}.flac"}
        assert (row["split"], row["identity"], row["start_s"]) == (clip["split"], clip["identity"], clip["start_s"])
    assert Image.open(io.BytesIO(row["face"]["bytes"])).size == (32, 32)
    assert soundfile.read(io.BytesIO(row["voice"]["bytes"]))[1] == 16_000


@pytest.mark.parametrize("at_a_time", [1, 5, 48, 100])
def test_clips_are_read_a_few_at_a_time(world, at_a_time):
    total, clips = clip_media(world.snapshot(), at_a_time=at_a_time)
    found = {item.clip["clip_id"]: item for item in clips}
    expected = best_by_a_loop(world)
    assert total == len(found) == len(expected)
    for clip_id, (clip, face, voice) in expected.items():
        assert found[clip_id].clip == clip
        assert (found[clip_id].face["face_id"], found[clip_id].face["image"]) == (face["face_id"], face["image"])
        assert (found[clip_id].voice["voice_id"], found[clip_id].voice["audio"]) == (
            voice["voice_id"],
            voice["audio"],
        )


def test_clips_without_any_split_are_train(new_uri, tmp_path):
    store, rows = Store.create(new_uri(), FACES, VOICES), video(1)
    store.commit([replace(rows, clips=[{**clip, "split": None} for clip in rows.clips])])
    result = export.export(store.uri, tmp_path / "hf", "datasets")
    assert result.clips == {"train": 2}
    assert result.files == ["data/train-00000-of-00001.parquet"]


@pytest.mark.parametrize("format", ["webdataset", "datasets"])
def test_splits_that_would_share_a_file_are_named(new_uri, tmp_path, format):
    store = Store.create(new_uri(), FACES, VOICES)
    for number, split in enumerate(["a b", "a-b"]):
        rows = video(number)
        store.commit([replace(rows, clips=[clip | {"split": split} for clip in rows.clips])])
    with pytest.raises(InputError, match=r"'a( |-)b' and 'a( |-)b' would both be files named 'a_b'"):
        export.export(store.uri, tmp_path / "out", format)
    assert not (tmp_path / "out").exists()
    assert export.export(store.uri, tmp_path / "out", format, where="split = 'a b'").clips == {"a_b": 2}


@pytest.mark.parametrize("format", ["webdataset", "datasets"])
def test_clips_without_media_are_not_exported_as_empty_files(new_uri, tmp_path, format):
    """As `vclip import features` stores them."""
    store, rows = Store.create(new_uri(), FACES, VOICES), video(0)
    store.commit([replace(rows, faces=[face | {"image": b""} for face in rows.faces])])
    with pytest.raises(InputError, match=r"vectors without media .* export its rows in one of parquet, csv, json"):
        export.export(store.uri, tmp_path / "out", format)


def test_a_split_cannot_leave_the_folder():
    assert ClipMedia({"split": "../../etc/x y"}, {}, {}, 1, 1).split == "_etc_x_y"


@pytest.fixture
def full_disk():
    """Files of this process cannot grow beyond 50 kB, so that a shard of 48 clips fails half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("format", ["webdataset", "datasets"])
def test_nothing_is_left_of_an_export_that_fails(world, tmp_path, format, full_disk):
    with pytest.raises(InputError, match="File too large"):
        export.export(world.uri, tmp_path / "out", format)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_query_that_fails_half_way(world, tmp_path):
    sql = "SELECT CASE WHEN range = 9999 THEN error('late') END AS value FROM range(10000)"
    with pytest.raises(InputError, match="late"):
        export.export(world.uri, tmp_path / "out", "csv", sql=sql)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"format": "xml"}, "parquet"),
        ({"format": "csv", "table": "clip"}, "clips"),
        ({"format": "csv", "select": ["ends"]}, "end_s"),
        ({"format": "csv", "media": True}, "faces"),
        ({"format": "csv", "sql": "SELECT 1", "where": "true"}, "--sql"),
        ({"format": "datasets", "table": "faces"}, "whole clips"),
        ({"format": "webdataset", "where": "split = 'none'"}, "no clip"),
    ],
)
def test_what_cannot_be_exported_is_said_and_leaves_nothing(world, tmp_path, wrong, said):
    with pytest.raises(ValueError, match=said):
        export.export(world.uri, tmp_path / "out", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_left_alone(world, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        export.export(world.uri, tmp_path, "csv")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
