"""Which ffmpeg is run: the shipped one, or a configured one that is new enough."""

import subprocess

import pytest

from pipelines.extraction.config import ExtractionConfig, MediaConfig
from pipelines.extraction.pipeline import extract
from pipelines.extraction.video.ffmpeg import ffmpeg_binary, ffmpeg_version
from tests.support.ffmpeg import shipped_ffmpeg
from vclip.errors import InputError


def program(path, says):
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return str(path)


def test_the_one_on_the_path_is_not_used():
    assert subprocess.run(["ffmpeg", "-version"], capture_output=True).returncode == 97
    assert ffmpeg_binary() == shipped_ffmpeg()


@pytest.mark.parametrize("says", ["9.0", "n9.1", "10.0-static", "N-121001-gadc66f3", "9.0.2-0+deb14u1"])
def test_a_configured_one_is_used(tmp_path, says):
    binary = program(tmp_path / "mine", f"ffmpeg version {says} Copyright (c) 2000-2026")
    assert ffmpeg_binary(binary) == binary
    assert ffmpeg_version(binary) == says


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ("ffmpeg version 5.1.9-0+deb12u1 Copyright", r"version 5\.1\.9-0\+deb12u1, older than 9\.0"),
        ("ffmpeg version 7.0.2-static Copyright", r"older than 9\.0"),
        ("hello", "does not answer as ffmpeg does"),
    ],
)
def test_one_that_is_too_old_or_none_is_refused_in_one_line(tmp_path, says, reason):
    binary = program(tmp_path / "mine", says)
    with pytest.raises(InputError, match=reason) as told:
        extract("video.mp4", ExtractionConfig(media=MediaConfig(ffmpeg=binary)))
    assert "\n" not in str(told.value)
    assert "media.ffmpeg" in str(told.value)


def test_one_that_is_not_there_is_told():
    with pytest.raises(InputError, match="no such program"):
        ffmpeg_binary("/nowhere/ffmpeg")
