"""Which negatives are hard: those of one gender, one nationality, one age.

Nearly all that a voice says of a face is gender; among people of one gender published systems fall from an AUC of
87-89 to 76-79. So each figure is also given for trials within groups of people who share a label.
"""

import re

import numpy as np

from vclip.association.pairs import Pairs

UNRESTRICTED = "unrestricted"
SUBGROUPS = ("same gender", "same nationality", "same age band", "same gender and nationality")
_AGE = re.compile(r"(\d{1,3})(?:\.\d+)?(?:\s*[-–]\s*(\d{1,3}))?")


def subgroups(pairs: Pairs) -> dict[str, np.ndarray]:
    """Returns for each of SUBGROUPS the group (C,) str of each clip, "" where a label that it needs is missing."""
    age = np.array([age_band(text) for text in pairs.age.tolist()], dtype=str)
    known = (pairs.gender != "") & (pairs.nationality != "")
    both = np.char.add(np.char.add(pairs.gender, " "), pairs.nationality)
    return dict(zip(SUBGROUPS, (pairs.gender, pairs.nationality, age, np.where(known, both, "")), strict=True))


def age_band(text: str) -> str:
    """Returns the band of ten years, as "30-39": of "34", "30-39", "31-35" or "30s"; "" where it is not one band."""
    text = text.strip()
    decade = re.fullmatch(r"(\d{1,2}0)s", text)
    found = _AGE.fullmatch(decade[1] if decade else text)
    if not found:
        return ""
    first = int(found[1]) // 10
    last = int(found[2]) // 10 if found[2] else first
    return f"{10 * first}-{10 * first + 9}" if first == last else ""


def rows_by_label(labels: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of the clips of each label (C,) str, without those that have none."""
    order = np.argsort(labels, kind="stable")
    values, start = np.unique(labels[order], return_index=True)
    return [rows for value, rows in zip(values, np.split(order, start[1:]), strict=True) if value != ""]
