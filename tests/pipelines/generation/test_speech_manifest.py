"""Manifests of speech: three formats, options, and rows that cannot be used."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.files.remote import RemoteConfig
from pipelines.generation.manifest import read_jobs
from vclip.errors import InputError

ROWS = [
    {"face": "ann.jpg", "text": "Hello there.", "voices": 2, "face_index": None, "seed": None, "id": "a"},
    {"face": "s3://photos/bob.png", "text": "Grüße, “you”", "voices": None, "face_index": 1, "seed": 7, "id": None},
]


def _read(path, **options):
    return read_jobs(str(path), **({"voices": 3, "face_index": None, "seed": 0} | options), config=RemoteConfig())


def _csv(path, rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join("" if row.get(n) is None else f'"{row[n]}"' for n in names) for row in rows]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")
    return path


def _jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _parquet(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("write", [_csv, _jsonl, _parquet])
def test_the_formats_say_the_same(tmp_path, write):
    first, second = _read(write(tmp_path / f"jobs.{write.__name__[1:]}", ROWS))
    assert (first.row, first.id, first.text, first.voices, first.seed) == (1, "a", "Hello there.", 2, 0)
    assert (first.photo.uri, first.photo.index) == (str(tmp_path / "ann.jpg"), None)
    assert (second.row, second.id, second.text, second.voices, second.seed) == (2, "", "Grüße, “you”", 3, 7)
    assert (second.photo.uri, second.photo.index) == ("s3://photos/bob.png", 1)


def test_the_commands_options_are_those_of_rows_that_do_not_say(tmp_path):
    first, second = _read(_jsonl(tmp_path / "jobs.jsonl", ROWS), voices=5, face_index=4, seed=9)
    assert (first.voices, first.photo.index, first.seed) == (2, 4, 9)
    assert (second.voices, second.photo.index, second.seed) == (5, 1, 7)


BAD = {
    "no face": ({"text": "Hi."}, ("no face, face_id or voice",)),
    "two faces": ({"face": "a.jpg", "face_id": "f", "text": "Hi."}, ("face and face_id",)),
    "no text": ({"face": "a.jpg"}, ("empty text",)),
    "blank text": ({"face": "a.jpg", "text": " \n"}, ("empty text",)),
    "no voices": ({"face": "a.jpg", "text": "Hi.", "voices": 0}, ("voices = 0", "1 or more")),
    "half a voice": ({"face": "a.jpg", "text": "Hi.", "voices": 1.5}, ("voices = 1.5", "whole number")),
    "a word": ({"face": "a.jpg", "text": "Hi.", "seed": "seven"}, ("seed = 'seven'", "whole number")),
    "a list": ({"face": "a.jpg", "text": "Hi.", "seed": [1]}, ("seed = [1]", "whole number")),
    "negative": ({"face": "a.jpg", "text": "Hi.", "face_index": -1}, ("face_index = -1", "0 or more")),
    "misspelt": ({"face": "a.jpg", "text": "Hi.", "voicess": 1}, ("unknown column 'voicess'", "'voices'")),
    "face and voice": ({"face": "a.jpg", "voice": "ann", "text": "Hi."}, ("face and voice",)),
    "voice and seed": ({"voice": "ann", "text": "Hi.", "seed": 1}, ("seed beside voice",)),
    "no language": (
        {"face": "a.jpg", "text": "Hi.", "language": "finnish"},
        ("language 'finnish'", "BCP 47"),
    ),
    "other scheme": ({"face": "ftp://x/a.jpg", "text": "Hi."}, ("ftp://", "s3://")),
}


def test_a_row_has_the_language_that_it_gives_or_that_of_the_command(tmp_path):
    rows = [ROWS[0] | {"language": "pt-BR"}, ROWS[1]]
    manifest = _csv(tmp_path / "jobs.csv", rows)
    assert [job.language for job in _read(manifest, language="deu")] == ["pt", "deu"]
    assert [job.language for job in _read(manifest)] == ["pt", ""]


@pytest.mark.parametrize("case", BAD)
def test_a_row_that_cannot_be_used_says_why_and_the_others_stay(tmp_path, case):
    bad, named = BAD[case]
    good, told = _read(_jsonl(tmp_path / "jobs.jsonl", [{"face": "a.jpg", "text": "Hi."}, bad]))
    assert good.reason == ""
    assert told.row == 2
    for word in named:
        assert word in told.reason
    with pytest.raises(InputError, match="its only row cannot be used; row 1") as error:
        _read(_jsonl(tmp_path / "bad.jsonl", [bad]))
    assert told.reason in str(error.value)


def test_a_manifest_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "empty.csv").write_text("face,text\n")
    (tmp_path / "cut.jsonl").write_text('{"face": "a.jpg"')
    (tmp_path / "no.parquet").write_text("no")
    (tmp_path / "jobs.txt").write_text("a.jpg\n")
    for name in ("empty.csv", "cut.jsonl", "no.parquet", "jobs.txt", "missing.csv"):
        with pytest.raises(InputError, match=name):
            _read(tmp_path / name)
