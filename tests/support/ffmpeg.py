"""The ffmpeg of the tests: the one that imageio-ffmpeg ships. One on the PATH is broken, so that its use shows."""

import functools
import os
import tempfile
from pathlib import Path

import imageio_ffmpeg


@functools.cache
def shipped_ffmpeg() -> str:
    """Returns the path of the ffmpeg binary that imageio-ffmpeg ships."""
    return imageio_ffmpeg.get_ffmpeg_exe()


def put_broken_one_on_path() -> None:
    """Makes `ffmpeg` on the PATH a program that fails, here and in all child processes.

    Its folder is named by the user's id and used again, so that test runs leave one behind and not one each.
    """
    folder = Path(tempfile.gettempdir()) / f"vclip-tests-broken-ffmpeg-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    draft = folder / f"ffmpeg.{os.getpid()}"
    draft.write_text("#!/bin/sh\necho 'the ffmpeg on the PATH was used' >&2\nexit 97\n")
    draft.chmod(0o755)
    draft.replace(folder / "ffmpeg")
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
