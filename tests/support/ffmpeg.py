"""The ffmpeg of the tests: the one that imageio-ffmpeg ships, whatever is on the PATH of the machine."""

import functools
import os
import tempfile
from pathlib import Path

import imageio_ffmpeg


@functools.cache
def shipped_ffmpeg() -> str:
    """Returns the path of the ffmpeg binary that imageio-ffmpeg ships."""
    return imageio_ffmpeg.get_ffmpeg_exe()


def put_first_on_path() -> None:
    """Makes `ffmpeg` mean the shipped binary, here and in all child processes.

    A folder with a link to it goes first on the PATH, where the project looks for ffmpeg. The folder is named by the
    user's id and used again, so that test runs leave one behind and not one each.
    """
    folder = Path(tempfile.gettempdir()) / f"vclip-tests-ffmpeg-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    link, draft = folder / "ffmpeg", folder / f"ffmpeg.{os.getpid()}"
    draft.symlink_to(shipped_ffmpeg())
    draft.replace(link)
    os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
