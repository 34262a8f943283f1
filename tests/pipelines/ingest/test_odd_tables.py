"""Tables and folders as people have them: odd headers, marks, normal forms, endings, brackets and long names."""

import json
import os
import re
import subprocess
import sys
import unicodedata
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from pipelines.config import Config
from pipelines.ingest.dry_run import plan_videos
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.manifest import read_labels
from tests.support.ingest_world import TINY, offline
from vclip.errors import InputError

NFC, NFD = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))


def _labels(listing):
    return {os.path.basename(source.paths[0]): dict(source.labels) for source in listing}


@pytest.fixture
def folder(tmp_path):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_text(name)
    return tmp_path


CONTENT = {
    "a space": ("t.csv", "file, identity, gender\na.mp4, Ann , f\nb.mp4,Bob,m\n"),
    "capitals": ("t.csv", "File,IDENTITY,Gender\na.mp4,Ann,f\nb.mp4,Bob,m\n"),
    "quotes after a space": ("t.csv", 'file, "identity", "gender"\na.mp4, "Ann", f\n"b.mp4", Bob, m\n'),
    "windows": ("t.csv", "\ufefffile,identity,gender\r\na.mp4,Ann,f\r\nb.mp4,Bob,m\r\n\r\n"),
    "old mac": ("t.csv", "file,identity,gender\ra.mp4,Ann,f\rb.mp4,Bob,m\r"),
    "spreadsheet": ("t.csv", "file,identity,gender,,\na.mp4,Ann,f,,\nb.mp4,Bob,m,,\n,,,,\n"),
    "semicolons": ("t.csv", "file;identity;gender\na.mp4;Ann;f\nb.mp4;Bob;m\n"),
    "tabs": ("t.tsv", "file\tidentity\tgender\na.mp4\tAnn\tf\nb.mp4\tBob\tm\n"),
    "a list": ("t.json", '\ufeff[{"file": "a.mp4", "identity": "Ann", "gender": "f"},\n'
               '{"File ": " b.mp4", "identity": "Bob ", "gender": "m"}]'),
    "objects": ("t.jsonl", '\ufeff{"file": "a.mp4", "Identity": "Ann", "gender": "f"}\r\n\r\n'
                '{"file": "b.mp4", "identity": "Bob", "gender": "m"}\r\n'),
}  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("kind", CONTENT)
def test_a_table_is_read_as_its_author_meant_it(folder, kind, encoding):
    name, text = CONTENT[kind]
    (folder / name).write_bytes(text.removeprefix("\ufeff" if encoding == "utf-16" else "").encode(encoding))
    expected = {"a.mp4": {"identity": "Ann", "gender": "f"}, "b.mp4": {"identity": "Bob", "gender": "m"}}
    assert _labels(list_videos([folder / name])) == expected
    assert _labels(list_videos([folder], read_labels(folder / name))) == expected


@pytest.mark.parametrize("typed", [NFC, NFD])
@pytest.mark.parametrize("stored", [NFC, NFD])
def test_names_and_labels_are_compared_in_one_normal_form(tmp_path, stored, typed):
    (tmp_path / stored).mkdir()
    (tmp_path / stored / f"{stored}.mp4").write_text("film")
    (tmp_path / "t.csv").write_text(f"file,identity\n{typed}/{typed}.mp4,{typed}\n")
    path = str(tmp_path / stored / f"{stored}.mp4")
    for listing in (
        list_videos([tmp_path / "t.csv"]),
        list_videos([tmp_path / "t.csv", tmp_path]),
        list_videos([tmp_path, tmp_path / "t.csv"]),
        list_videos([tmp_path], read_labels(tmp_path / "t.csv")),
        list_videos([tmp_path / typed], {f"{typed}.mp4": {"identity": NFC}}),
        list_videos([f"{tmp_path}/{typed}/{typed}*"], {f"{typed}.mp4": {"identity": NFC}}),
    ):
        (source,) = listing
        assert (source.paths, source.size_bytes, source.labels) == ((path,), 4, {"identity": NFC})


def test_two_files_whose_names_look_the_same_stay_two(tmp_path):
    for name in (NFC, NFD):
        (tmp_path / f"{name}.mp4").write_text(name)
    if len(os.listdir(tmp_path)) == 1:
        pytest.skip("the file system knows one form only")
    assert len(list_videos([tmp_path])) == 2


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("file,identity,Identity \na.mp4,Ann,Bob\n", ["columns 2 and 3", "'identity'"]),
        ("file,identity\na.mp4,Ann\na.mp4,Bob\n", ["1", "2", "a.mp4"]),
        ("file,identity\na.mp4,Ann\n{folder}/a.mp4,Bob\n", ["a.mp4", "different labels"]),
    ],
    ids=["a column", "a video", "a video under two names"],
)
def test_what_is_named_twice_is_an_error_that_names_both(folder, text, named):
    (folder / "t.csv").write_text(text.replace("{folder}", str(folder)))
    for inputs in ([folder / "t.csv"], [folder]):
        with pytest.raises(InputError) as error:
            list_videos(inputs, read_labels(folder / "t.csv") if inputs == [folder] else None)
        assert all(word in str(error.value) for word in named)


def test_a_row_that_repeats_another_is_one_video(folder):
    (folder / "t.csv").write_text("file,identity\na.mp4,Ann\na.mp4, Ann\n")
    assert _labels(list_videos([folder / "t.csv"])) == {"a.mp4": {"identity": "Ann"}}


def test_text_as_bytes_is_text_and_a_value_that_cannot_be_read_fails_its_row(folder):
    times = pa.array([0, 10**14, 0], pa.timestamp("s"))  # the second is 3 million years away
    names = pa.array([b"a.mp4", b"b.mp4", b"\xff.mp4"], pa.binary())
    pq.write_table(pa.table({"file": names, "identity": pa.array([b"Ann"] * 3), "time": times}), folder / "t.parquet")
    good, far, unnamed = list_videos([folder / "t.parquet"])
    assert (good.failure, good.labels["identity"], os.path.basename(good.uri)) == (None, "Ann", "a.mp4")
    assert "row 2: time: cannot be read" in far.failure.reason
    assert "row 3: found b'" in unnamed.failure.reason


DEMUXERS = Path(__file__).parents[2] / "support" / "ffmpeg_demuxers.txt"
ENDINGS = ["mp4", "mxf", "asf", "3g2", "dv", "f4v", "divx", "mod", "rmvb", "nut", "mts", "m2ts", "ogm", "wtv", "MXF"]


def test_folders_hold_videos_of_many_endings_and_the_others_are_counted(tmp_path):
    for number, ending in enumerate(ENDINGS):
        (tmp_path / f"{number}.{ending}").write_text(ending)
    for name in ("._0.mp4", "notes.txt", "more.TXT", "README", "x.jpg"):
        (tmp_path / name).write_text(name)
    listing = list_videos([tmp_path])
    assert len(listing) == len(ENDINGS)
    assert listing.passed_over == {".txt": 2, "no ending": 1, ".jpg": 1}
    plan = plan_videos([tmp_path], str(tmp_path / "store"), _tiny())
    assert (plan.new, plan.passed_over) == (len(ENDINGS), listing.passed_over)
    assert json.loads(json.dumps(asdict(plan)))["passed_over"] == listing.passed_over


def _tiny() -> Config:
    return offline(*TINY)


def _demuxers(kind):
    """Name -> endings of the shipped ffmpeg's demuxers that can hold video, or of the others."""
    lines = (line.split() for line in DEMUXERS.read_text().splitlines())
    rows = [line[1:] for line in lines if line[0] == kind]
    return (
        {name: endings for name, *endings in rows} if kind == "video" else {name: [] for row in rows for name in row}
    )


def test_every_ending_that_ffmpeg_reads_as_video_is_taken_from_folders_or_named_as_left_out(tmp_path):
    manual = (Path(__file__).parents[3] / "docs" / "importing.md").read_text()
    (paragraph,) = (part for part in manual.split("\n\n") if "left out of folders as well" in part)
    left_out = set(re.findall(r"`\.(\w+)`", paragraph))
    endings = {ending for listed in _demuxers("video").values() for ending in listed}
    assert left_out <= endings
    for ending in endings:
        (tmp_path / f"film.{ending}").write_text(ending)
        (tmp_path / f"._film.{ending}").write_text(ending)
    listing = list_videos([tmp_path])
    assert {source.uri.rpartition(".")[2] for source in listing} == endings - left_out
    assert set(listing.passed_over) == {f".{ending}" for ending in left_out}
    assert len(list_videos([f"{tmp_path}/*.dat"])) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the shipped ffmpeg differs from system to system")
def test_the_demuxers_are_those_of_the_shipped_ffmpeg():
    def shown(*given):
        return subprocess.run([get_ffmpeg_exe(), "-hide_banner", *given], capture_output=True, text=True).stdout

    shipped = set(re.findall(r"^ *D +(\S\S+) ", shown("-demuxers").partition("---")[2], re.MULTILINE))
    video = _demuxers("video")
    known = {*video, *_demuxers("other")}
    assert {name for name in shipped if not name.endswith("_pipe")} == known
    for name in ("h264", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "cdxl"):
        found = re.search(r"Common extensions: (.*)\.", shown("-h", f"demuxer={name.partition(',')[0]}"))
        assert found
        assert found[1].lower().split(",") == video[name]


def test_patterns_work_inside_folders_with_brackets(tmp_path):
    inside = tmp_path / "Interview [x] (1)" / "*deep?"
    inside.mkdir(parents=True)
    (inside / "a.mp4").write_text("film")
    (inside / "[b].mp4").write_text("other film")
    for pattern in (f"{inside}/*.mp4", f"{tmp_path}/Interview [x] (1)/**/*.mp4", f"{tmp_path}/*/*/*.mp4"):
        assert len(list_videos([pattern])) == 2, pattern
    assert [os.path.basename(source.uri) for source in list_videos([f"{tmp_path}/*/**/[b].mp4"])] == ["[b].mp4"]


@pytest.mark.parametrize("letter", ["a", "é", "한"])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, letter):
    name = letter * ((255 - 4) // len(letter.encode())) + ".mp4"
    (tmp_path / name).write_text("film")
    (tmp_path / "t.jsonl").write_text(json.dumps({"file": name, "identity": "Ann"}))
    for given in (tmp_path, tmp_path / name, tmp_path / "t.jsonl"):
        (source,) = list_videos([given])
        assert source.size_bytes == 4
