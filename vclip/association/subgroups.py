"""Subgroups of people who share a label: gender, nationality, language, age band."""

import re

import numpy as np

from vclip.association.pairs import Pairs

SUBGROUPS = ("same gender", "same nationality", "same language", "same age band", "same gender and nationality")
_AGE = re.compile(r"(\d{1,3})(?:\.\d+)?(?:\s*[-–]\s*(\d{1,3}))?")


def subgroups(pairs: Pairs) -> dict[str, np.ndarray]:
    """Returns the label (C,) str of each clip for each of SUBGROUPS; "" where it is unknown."""
    age = np.array([age_band(text) for text in pairs.age.tolist()], dtype=str)
    known = (pairs.gender != "") & (pairs.nationality != "")
    both = np.char.add(np.char.add(pairs.gender, " "), pairs.nationality)
    labels = pairs.gender, pairs.nationality, pairs.language, age, np.where(known, both, "")
    return dict(zip(SUBGROUPS, labels, strict=True))


def age_band(text: str) -> str:
    """Returns the band of ten years of an age, "" if it is unknown or spans two bands.

    Example:
        >>> [age_band(text) for text in ("34", "31-35", "30s", "38-41", "")]
        ['30-39', '30-39', '30-39', '', '']
    """
    text = text.strip()
    decade = re.fullmatch(r"(\d{1,2}0)s", text)
    found = _AGE.fullmatch(decade[1] if decade else text)
    if not found:
        return ""
    first = int(found[1]) // 10
    last = int(found[2]) // 10 if found[2] else first
    return f"{10 * first}-{10 * first + 9}" if first == last else ""


def rows_by_label(labels: np.ndarray) -> list[np.ndarray]:
    """Returns the rows of the clips of each label, without the empty label; `labels` is (C,) str."""
    order = np.argsort(labels, kind="stable")
    values, start = np.unique(labels[order], return_index=True)
    return [rows for value, rows in zip(values, np.split(order, start[1:]), strict=True) if value != ""]
