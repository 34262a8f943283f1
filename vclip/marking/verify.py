"""Whether a speech file and its provenance label still belong together.

The label holds the hash of the samples, so `verify` recognises a file whose audio was edited or whose label was
copied from another file. It also recognises one whose structure would make a player play something else than those
samples: another format, a second piece of samples. The label is no signature: anybody can write a false one, or
remove it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vclip.marking.provenance import plain_json, read_label, sidecar_of


@dataclass(frozen=True)
class Verified:
    """The label of a speech file, and the problems that were found with it."""

    path: str
    provenance: dict[str, Any]
    problems: tuple[str, ...]  # empty where audio, label and sidecar belong together


def verify(path: str | Path) -> Verified:
    """Returns the provenance label of a WAV file, and where its samples or its sidecar contradict it.

    The sidecar may be missing; one that exists must equal the label.

    Raises:
        InputError: the file is missing, not a WAV file, or carries no provenance.
    """
    found = read_label(path)
    label, problems = found.label, []
    if (written := label.get("audio")) is None:
        problems.append("the provenance names no hash of the samples, expected one; it was not written by this vclip")
    elif written != found.audio:
        problems.append("the samples or their rate are not those that the provenance was written for")
    if label["synthetic"] is not True:
        said = json.dumps(label["synthetic"])[:40]
        problems.append(f"the provenance says synthetic: {said}, expected true, which vclip always writes")
    problems += found.problems
    sidecar = sidecar_of(Path(path))
    if sidecar.exists() and _read(sidecar) != label:
        problems.append(f"the sidecar {sidecar.name} differs from the provenance inside the file")
    return Verified(str(path), label, tuple(problems))


def _read(sidecar: Path) -> Any:
    try:
        return plain_json(sidecar.read_bytes()) if sidecar.is_file() else None
    except (OSError, ValueError):
        return None
