"""A folder or a prefix of a bucket as a place for whole files."""

import os
import subprocess
import sys

import pytest

from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from vclip.errors import InputError
from vclip.files import whole_file


def test_what_is_written_is_listed_and_read(place):
    output = Output(place, RemoteConfig())
    assert list(output.names("speech")) == []
    output.write("speech/ab/one.wav", [b"1"])
    output.write("speech/cd/two.wav", [b"2"])
    output.write("speech/cd/two.wav", [b"two"])
    output.write("results.jsonl", [b"3"])
    assert sorted(output.names("speech")) == ["speech/ab/one.wav", "speech/cd/two.wav"]
    assert output.read("speech/cd/two.wav") == b"two"
    assert output.address("a").endswith("/a")
    with pytest.raises(OSError, match=r"no such object|No such file"):
        output.read("speech/missing.wav")


def test_a_large_file_is_written_in_parts_and_is_whole(place):
    output, parts = Output(place, RemoteConfig()), [bytes([number]) * (5 << 20) for number in range(4)]
    output.write("speech/ef/book.wav", iter(parts))
    assert output.read("speech/ef/book.wav") == b"".join(parts)


def test_drafts_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path):
    code = "import os, sys, pathlib; from vclip.files import whole_file\n"
    code += "with whole_file(pathlib.Path(sys.argv[1])) as draft: draft.write_text('half'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, tmp_path / "speech" / "a.wav"], env=os.environ, check=False)
    (left,) = (tmp_path / "speech").iterdir()
    assert left.name.startswith(".a.")
    with whole_file(tmp_path / "speech" / "b.wav") as mine:
        mine.write_text("half")
        assert list(Output(tmp_path, RemoteConfig()).names("speech")) == []
        assert not left.exists()
        assert mine.exists()
    assert list(Output(tmp_path, RemoteConfig()).names("speech")) == ["speech/b.wav"]


def test_places_that_cannot_be_written_to_are_named(tmp_path):
    (tmp_path / "taken").touch()
    for where in ("http://host/out", "ftp://host/out", tmp_path / "taken"):
        with pytest.raises(InputError, match=str(where)):
            Output(where, RemoteConfig())
    output = Output(tmp_path / "out", RemoteConfig())
    (tmp_path / "out" / "speech").touch()
    with pytest.raises(InputError, match="cannot be written"):
        output.write("speech/a.wav", [b""])


def test_a_bucket_that_is_not_there_is_named(bucket):
    missing = Output("s3://nowhere/out", RemoteConfig())
    with pytest.raises(InputError, match="s3://nowhere/out"):
        list(missing.names("speech"))
    with pytest.raises(InputError, match="cannot be written"):
        missing.write("a", [b""])
