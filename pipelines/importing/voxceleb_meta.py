"""The metadata tables of VoxCeleb: vox1_meta.csv and vox2_meta.csv, in the forms that are about.

VoxCeleb1 ID    VGGFace1 ID     Gender  Nationality     Set      tabs; or commas, and underscores for the spaces
VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set                           with spaces after each value; or tabs and a Name
"""

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vclip.errors import InputError

SPLITS = {"dev": "train", "test": "test"}  # VoxCeleb's dev set is the one to train on


@dataclass(frozen=True)
class Metadata:
    """Who is who: labels of each identity, and the identity of each name that stands for it."""

    labels: Mapping[str, Mapping[str, str]]  # VoxCeleb id -> gender, nationality, split, name
    identity: Mapping[str, str]  # VoxCeleb id, VGGFace id or name -> VoxCeleb id

    def identity_of(self, folder: str) -> str:
        """Returns the VoxCeleb id of a folder's name; the name itself where the table does not know it."""
        return self.identity.get(folder) or self.identity.get(folder.rstrip("."), folder)


def read_metadata(path: str | Path) -> Metadata:
    """Returns what a metadata table says.

    Raises:
        InputError: no such table, or not one of VoxCeleb's.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"metadata {path}: {reason}; expected vox1_meta.csv or vox2_meta.csv") from None
    delimiter = "\t" if "\t" in text.partition("\n")[0] else ","
    rows = [[value.strip() for value in row] for row in csv.reader(text.splitlines(), delimiter=delimiter) if row]
    header = [re.sub(r"[ _]+", " ", name).lower() for name in rows[0]] if rows else []
    key = next((name for name in header if re.fullmatch(r"voxceleb[12] id", name)), None)
    if key is None or len(rows) < 2:
        found = ", ".join(header) or "nothing"
        raise InputError(
            f"metadata {path}: found columns {found}; expected 'VoxCeleb1 ID' or 'VoxCeleb2 ID', and rows"
        )
    labels, identity = {}, {}
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise InputError(f"metadata {path}, row {number}: found {len(row)} values, expected {len(header)}")
        values = dict(zip(header, row, strict=True))
        who = values[key]
        if who in labels:
            raise InputError(f"metadata {path}, row {number}: '{who}' stands there twice; expected each id once")
        named = [values[name] for name in header if name.startswith("vggface") or name == "name"]
        found = {"name": named[0] if named else "", "split": SPLITS.get(values.get("set", ""), "")}
        found |= {name: values.get(name, "") for name in ("gender", "nationality")}
        labels[who] = {name: value for name, value in found.items() if value}
        identity |= {who: who} | {name.rstrip("."): who for name in named if name}
    return Metadata(labels, identity)
