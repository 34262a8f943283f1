"""Whether a speech file still is what its provenance says.

The provenance names the hash of the samples, so a file whose sound was edited, or whose provenance is another file's,
is told from one as it was written. It is a label and no signature: whoever wants to can write a false one, or none.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vclip.tts.wav import read_speech


@dataclass(frozen=True)
class Verified:
    """What a speech file says of itself, and what of it does not hold."""

    path: str
    provenance: dict[str, Any]
    problems: tuple[str, ...]  # none: sound, provenance and sidecar belong together


def verify(path: str | Path) -> Verified:
    """Returns the provenance of a WAV file, and where it and the samples, or it and the sidecar, have parted.

    A sidecar need not be there; one that is there must say the same.

    Raises:
        InputError: the file is missing, not a WAV file, or carries no provenance.
    """
    said, found = read_speech(path)
    problems = []
    if (written := said.get("audio")) is None:
        problems.append("the provenance names no hash of the samples, expected one; it was not written by this vclip")
    elif written != found:
        problems.append("the samples or their rate are not those that the provenance was written for")
    sidecar = Path(path).with_suffix(".json")
    if sidecar.exists() and _read(sidecar) != said:
        problems.append(f"the sidecar {sidecar.name} says something else than the file itself")
    return Verified(str(path), said, tuple(problems))


def _read(sidecar: Path) -> Any:
    try:
        return json.loads(sidecar.read_bytes())
    except (OSError, ValueError):
        return None
