"""The model card: front matter that the hub reads, then each checkpoint's README, and what the model is for."""

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from vclip import __version__, checkpoint

INTENDED_USE = "## Intended use"
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n+", re.DOTALL)
_TAGS = {
    "association": ["face-voice-association"],
    "speaker-generator": ["speaker-generation"],
    "tts-signature": ["text-to-speech"],
}
_USE = {
    "association": (
        "Research on what faces and voices have in common, and the choice of synthetic voices that suit a face. It "
        "is not for identifying or verifying people, and says nothing about anyone's gender, age, origin, health or "
        "character. Nearly all that it knows is gender.",
        "The folder holds no face and no voice. It holds hashes of the names and the vectors of the training people, "
        "so that evaluation leaves them out: whoever has a name or a vector can test whether it was among them.",
        "vclip evaluate --store work/test --model {folder} --out work/evaluation",
    ),
    "speakers": (
        "Drawing new synthetic speakers. Candidates that are too similar to a known speaker are rejected; generated "
        "speech says that it is synthetic.",
        "**The folder holds the speaker vectors and the ids of the known speakers**, which are biometric data of "
        "real people where the bank was recorded. Share it only if they agreed to that.",
        'vclip generate --face photo.jpg --text "Hello." --model work/model --speakers {folder} --out work/speech',
    ),
}


def card(checkpoints: Mapping[str, Path], name: str, licence: str) -> str:
    """Returns the model card of a folder of checkpoints, as Markdown.

    Args:
        checkpoints: kind -> checkpoint folder.
        name: of the model, for its title.
        licence: an identifier of the hub, as in "cc-by-4.0".
    """
    kind = "association" if "association" in checkpoints else "speakers"
    tags = ["vclip", *(tag for found in checkpoints for tag in _TAGS[found])]
    head = {"license": licence, "library_name": "vclip", "tags": tags}
    use, contains, example = _USE[kind]
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {name.removeprefix('hf:')}",
        *(_body(found, folder) for found, folder in checkpoints.items()),
        f"{INTENDED_USE}\n\n{use}",
        f"## Encoders\n\nVectors of other spaces are refused.\n\n{_encoders(checkpoints)}",
        f"## What it contains\n\n{contains}\n\n`config.json` records how it was made: the configuration, the "
        "encoders and the address of the store.",
        f"## Licence\n\n{licence}. The encoders that it was trained with have licences of their own.",
        f"## How to use it\n\nMade by vclip {__version__}.\n\n```sh\nvclip pull {name} --out {kind}\n"
        f"{example.format(folder=kind)}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _encoders(checkpoints: Mapping[str, Path]) -> str:
    """A table of the spaces that the checkpoints name, and the specs that open their encoders."""
    rows: dict[str, str] = {}
    for kind, folder in checkpoints.items():
        _, config, _ = checkpoint.load(folder, kind)
        spaces = [config[name] for name in ("face_space", "voice_space", "space", "speaker_space") if name in config]
        rows |= {str(space): checkpoint.encoders_of(config).get(space, "not recorded") for space in spaces}
    return "\n".join(
        ["| space | encoder |", "|---|---|", *(f"| `{space}` | `{spec}` |" for space, spec in rows.items())]
    )


def _body(kind: str, folder: Path) -> str:
    """The README of the checkpoint itself: what it is and its figures, without the card of an earlier push."""
    path = folder / "README.md"
    text = _FRONT_MATTER.sub("", path.read_text(encoding="utf-8")) if path.is_file() else ""
    _, _, body = text.partition(INTENDED_USE)[0].partition(f"# Vclip {kind}\n")
    return f"## Vclip {kind}\n\n{body.strip()}".strip()
