"""Who is who where nobody says: pseudo-identities, before any split.

Without them one person stands on both sides of a split, or as their own negative. Two clips are linked where their
faces and their voices both are alike enough for one person; linked clips are one person. A missed link costs a false
negative, a false link merges two people out of the trials, so both must agree.
"""

from dataclasses import replace

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from vclip.association.pairs import Pairs, mean_direction
from vclip.errors import InputError

# Least cosines of two clips of one person, by the first part of the space's name. Measured on 850 real clips of 817
# people (dlib and Resemblyzer): together they link 29 of 33 pairs of clips of one person and 10 of 360,000 of two.
SAME_FACE = {"dlib": 0.94}
SAME_VOICE = {"resemblyzer": 0.75}
# Where the face space has no measured threshold, the voice decides alone, and more strictly: above the cosine of all
# but 1 in 10,000 pairs of two people.
SAME_VOICE_ALONE = {"resemblyzer": 0.82}
BLOCK = 2048  # rows compared at a time
# False links chain people together: at 40,000 clips the rates above would make a fifth of them one "person". So while
# the largest group is implausible the links must be stricter.
PLAUSIBLE_CLIPS, PLAUSIBLE_SHARE, STRICTER, ROUNDS = 50, 0.02, 0.01, 6


def group_people(pairs: Pairs, face_space: str, voice_space: str) -> tuple[Pairs, int]:
    """Returns the pairs with an identity for every clip, and how many were made up.

    Clips that have an identity keep it. The others get `person-<clip_id>` of their group, or the identity of the
    known clips that they are linked to where those agree.

    Raises:
        InputError: no threshold is known for the voice space, or the clips cannot be told apart.
    """
    unknown = pairs.identity == ""
    if not unknown.any():
        return pairs, 0
    same_face = SAME_FACE.get(_encoder(face_space))
    same_voice = (SAME_VOICE if same_face else SAME_VOICE_ALONE).get(_encoder(voice_space))
    if same_voice is None:
        raise InputError(f"space '{voice_space}': cannot tell people apart in it; give identities with --labels")
    for stricter in range(ROUNDS + 1):
        face = -1.0 if same_face is None else same_face + stricter * STRICTER / 2
        group = _linked(pairs, face, same_voice + stricter * STRICTER)
        largest = int(np.bincount(group).max())
        if largest <= max(PLAUSIBLE_CLIPS, PLAUSIBLE_SHARE * len(pairs)):
            break
    else:
        raise InputError(
            f"grouping {len(pairs)} clips without identity: {largest} of them came out as one person; give identities"
        )
    identity = pairs.identity.astype(object)
    for number in np.unique(group[unknown]):
        members = np.flatnonzero(group == number)
        known = set(pairs.identity[members]) - {""}
        name = known.pop() if len(known) == 1 else f"person-{pairs.clip_id[members[0]]}"
        identity[members[unknown[members]]] = name
    return replace(pairs, identity=identity.astype(str)), int(unknown.sum())


def _linked(pairs: Pairs, same_face: float, same_voice: float) -> np.ndarray:
    """Returns the group number (C,) of each clip."""
    faces = mean_direction(pairs.faces, pairs.face_clip, len(pairs))
    voices = mean_direction(pairs.voices, pairs.voice_clip, len(pairs))
    rows, columns = [], []
    for start in range(0, len(pairs), BLOCK):
        block = slice(start, start + BLOCK)
        alike = (faces[block] @ faces.T >= same_face) & (voices[block] @ voices.T >= same_voice)
        row, column = np.nonzero(alike)
        rows.append(row + start)
        columns.append(column)
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_matrix((np.ones(len(row), bool), (row, column)), shape=(len(pairs), len(pairs)))
    return connected_components(graph, directed=False)[1]


def _encoder(space: str) -> str:
    return space.partition("/")[0]
