"""What may be given to an ingest: folders, patterns, manifests, and names of every kind."""

import json
import os
import resource
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.files.folders import fits, walk
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.manifest import read_manifest
from vclip.errors import InputError

ODD = [
    *("a b.mp4", "new\nline.mp4", "ü 한국.mp4", "#1.mp4", "100%41.mp4", "what?.mp4", "[x]*.mp4", "-rf.mp4"),
    "'\".mp4",
]


@pytest.fixture
def folder(tmp_path):
    for name in ("b.mp4", "A/a.MOV", "A/deep/c.webm", "A/notes.dat"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "videos"


def _names(folder, *inputs):
    return [os.path.relpath(source.paths[0], folder) for source in list_videos(inputs)]


def test_a_pattern_names_what_it_fits(folder, monkeypatch):
    for pattern, names in {
        "*.mp4": ["b.mp4"],
        "**": ["A/a.MOV", "A/deep/c.webm", "b.mp4"],
        "**/*.webm": ["A/deep/c.webm"],
        "A/**/*.MOV": ["A/a.MOV"],
        "?/*": ["A/a.MOV"],
        "[A-C]/*.dat": ["A/notes.dat"],
    }.items():
        assert _names(folder, f"{folder}/{pattern}") == names, pattern
    monkeypatch.chdir(folder)
    assert _names(folder, "**/*.m*") == _names(folder, "*.mp4")
    with pytest.raises(InputError, match="found no video"):
        list_videos(["*.avi"])
    with pytest.raises(InputError, match="found no video"):
        list_videos(["nowhere/*.mp4"])


def test_two_stars_are_any_number_of_folders():
    assert fits(["a"], ["**", "a"])
    assert fits(["x", "y", "a"], ["**", "a"])
    assert not fits(["a", "x"], ["**", "a"])
    assert fits(["x", "a", "y"], ["x", "**"])


@pytest.mark.parametrize("name", ODD)
def test_a_name_is_taken_as_it_is(tmp_path, name):
    (tmp_path / name).write_text(name)
    for given in (tmp_path, tmp_path / name, f"{tmp_path}/*"):
        (source,) = list_videos([given])
        assert (source.paths, source.uri) == ((str(tmp_path / name),), str(tmp_path / name))
        assert source.size_bytes == len(name.encode())


def test_a_name_that_is_not_utf8_is_recorded_escaped(tmp_path):
    raw = os.path.join(os.fsencode(tmp_path), b"caf\xe9.mp4")
    with open(raw, "w") as file:
        file.write("film")
    (source,) = list_videos([tmp_path])
    assert source.uri == f"{tmp_path}/caf\\xe9.mp4"
    assert os.path.getsize(source.paths[0]) == source.size_bytes == 4


def test_links_are_followed_once(folder):
    (folder / "A" / "up").symlink_to(folder)
    (folder / "Z").symlink_to(folder / "A")
    (folder / "circle.mp4").symlink_to("circle.mp4")
    (folder / "dangling.mp4").symlink_to("nowhere")
    files = ["A/a.MOV", "A/deep/c.webm", "A/notes.dat", "b.mp4", "circle.mp4", "dangling.mp4"]
    assert list(walk(str(folder))) == files
    assert [s.size_bytes is None for s in list_videos([folder])] == [False, False, False, True, True]


def test_what_is_neither_file_nor_folder_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        list_videos([tmp_path / "pipe.mp4"])
    with pytest.raises(InputError, match="found no video"):
        list_videos([tmp_path])


def _write(path, rows):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0]), *(",".join("" if v is None else str(v) for v in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("column", ["file", "uri", "path"])
def test_a_manifest_names_files_from_its_folder_and_labels_them(folder, kind, column):
    rows = [
        {column: "videos/b.mp4", "identity": "Ann", "age": 34, "camera": "left"},
        {column: str(folder / "A/a.MOV"), "identity": "Zoë", "age": None, "camera": None},
        {column: f"file://{folder}/A/deep/c.webm", "identity": "Bob", "age": 7, "camera": "true"},
        {column: "videos/gone.mp4", "identity": "Eve", "age": 7, "camera": "true"},
    ]
    path = folder.parent / f"set.{kind}"
    _write(path, rows)
    sources = {os.path.basename(source.uri): source for source in list_videos([path])}
    assert {name: source.labels for name, source in sources.items()} == {
        "b.mp4": {"identity": "Ann", "age": "34", "camera": "left"},
        "a.MOV": {"identity": "Zoë"},
        "c.webm": {"identity": "Bob", "age": "7", "camera": "true"},
        "gone.mp4": {"identity": "Eve", "age": "7", "camera": "true"},
    }
    assert [source.size_bytes for source in sources.values()] == [5, 7, 13, None]


def test_a_list_is_a_manifest_without_labels(folder):
    (folder.parent / "list.txt").write_text("videos/b.mp4\n\nvideos/A/a.MOV\r\ns3://bucket/key.mp4\n")
    listing = list_videos([folder.parent / "list.txt"])
    assert len(listing) == 3
    assert [source.uri for source in listing[:2]] == [str(folder / "b.mp4"), str(folder / "A/a.MOV")]


def test_labels_of_a_manifest_are_kept_beside_a_folder_and_a_table(folder):
    (folder.parent / "set.csv").write_text("file,identity,split\nvideos/b.mp4,Ann,dev\n")
    listing = list_videos([folder, folder.parent / "set.csv"], {"b.mp4": {"split": "test"}})
    labels = {os.path.basename(source.uri): source.labels for source in listing}
    assert labels == {"a.MOV": {}, "c.webm": {}, "b.mp4": {"identity": "Ann", "split": "test"}}


def test_values_that_are_no_text_become_text(folder):
    rows = [{"file": "videos/b.mp4", "age": 34.0, "height": 1.75, "ok": True, "none": float("nan"), "tags": ["x", 1]}]
    _write(folder.parent / "set.parquet", [rows[0] | {"tags": ["x", "1"]}])
    (source,) = list_videos([folder.parent / "set.parquet"])
    assert source.labels == {"age": "34", "height": "1.75", "ok": "true", "tags": '["x", "1"]'}


WRONG = {
    "none.csv": (b"", "found no rows", "a header"),
    "header.csv": (b"file,identity\n", "found no rows", "a header"),
    "column.csv": (b"name,identity\nb.mp4,Ann\n", "row 1: found name, identity", "'file'"),
    "comma.csv": (b"file,identity\na,b.mp4,Bob\n", "row 1: found 3 fields", "2 (file, identity)"),
    "blank.csv": (b"file,identity\n,Bob\n", "row 1: found ''", "name of a video"),
    "binary.csv": (b"\xff\xfe\x00binary", "decode", "CSV"),
    "text.jsonl": (b"not json\n", "row 1: found 'not json'", "JSON object"),
    "list.jsonl": (b"[1, 2]\n", "row 1: found [1, 2]", "JSON object"),
    "number.jsonl": (b'{"file": 7}\n', "row 1: found 7", "name of a video"),
    "text.parquet": (b"file\n", "Parquet", "Parquet file"),
    "scheme.csv": (b"file\nftp://host/a.mp4\n", "row 1: ftp://host/a.mp4", "s3://"),
    "twice.csv": (b"file,identity\nvideos/b.mp4,Ann\nvideos/A/../b.mp4,Bob\n", "row 2: different labels", "row 1"),
    "columns.csv": (b"file,identity, Identity\nvideos/b.mp4,Ann,Bob\n", "columns 2 and 3", "'identity'"),
    "object.json": (b'[{"file": "videos/b.mp4"}', "line 1 column", "list of JSON objects"),
    "folder.csv": (b"file\nelsewhere/a.mp4\nelsewhere/b.mp4\n", "row 1: ", "none of the first 2"),
    "only.txt": (b"nowhere.mp4\n", "no such file", "expected paths"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_manifest_that_is_wrong_says_where_in_one_line(folder, name):
    content, found, expected = WRONG[name]
    (folder.parent / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        list_videos([folder.parent / name])
    for word in (name, found, expected):
        assert word.lower() in str(error.value).lower()
    assert "\n" not in str(error.value)


def test_the_same_row_twice_is_one_video(folder):
    (folder.parent / "set.csv").write_text("file,identity\nvideos/b.mp4,Ann\nvideos/b.mp4,Ann\n")
    assert len(list_videos([folder.parent / "set.csv"])) == 1


def test_a_long_manifest_stays_small(tmp_path):
    """Of 100,000 rows, 1 KB each at most; and the files are looked at as they are asked for."""
    (tmp_path / "0.mp4").write_text("film")
    rows = [f"{number}.mp4,person-{number % 1000},dev,CC-BY-4.0,en\n" for number in range(100_000)]
    (tmp_path / "set.csv").write_text("file,identity,split,licence,language\n" + "".join(rows))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    listing = list_videos([tmp_path / "set.csv"])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    assert len(listing) == 100_000
    assert grown < 100_000 * 1024
    first = next(iter(listing))
    assert (first.size_bytes, first.labels["identity"], len(first.labels)) == (4, "person-0", 4)


def test_rows_of_a_manifest_share_what_is_equal(tmp_path):
    (tmp_path / "set.csv").write_text("file,split\na.mp4,train\nb.mp4,train\n")
    first, second = read_manifest(tmp_path / "set.csv")
    assert first.values[0] is second.values[0]
    assert first.columns is second.columns
