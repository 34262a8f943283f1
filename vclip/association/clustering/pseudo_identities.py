"""Pseudo-identities for clips without an identity, found before any split, and negatives that training leaves out.

Without them, one person could be on both sides of a split, or be their own negative. Clips are clustered
(`agglomerative`) by scores of face and voice together (`pair_scores`).
"""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix

from vclip.association.clustering.agglomerative import cluster, likely_edges
from vclip.association.clustering.pair_scores import score_faces, score_pairs
from vclip.association.pairs import Pairs

AT_ONCE_S = 0.5  # clips of one video that overlap by this long show two people


def group_people(
    pairs: Pairs, face_space: str, voice_space: str, apart: np.ndarray | None = None
) -> tuple[Pairs, int]:
    """Returns the pairs with an identity for every clip, and the number of clips that got a pseudo-identity.

    Clips that have an identity keep it. The others take the identity of the named clips in their cluster, or else
    `person-<clip_id>`, after the first clip of the cluster. Clips of two known identities are never clustered.

    Args:
        pairs: C clips.
        face_space: the space of their faces.
        voice_space: the space of their voices.
        apart: (n, 2) clips known to be of two people, as `seen_at_once` finds them.

    Raises:
        InputError: a space is not in `pair_scores.IMPOSTORS`, and there are too few clips to estimate its statistics.
    """
    unknown = pairs.identity == ""
    if not unknown.any():
        return pairs, 0
    group = cluster(score_pairs(pairs, face_space, voice_space), pairs.videos(), _known(pairs.identity), apart)
    return _named(pairs, group), int(unknown.sum())


def group_by_face(pairs: Pairs, face_space: str, apart: np.ndarray | None = None) -> Pairs:
    """Returns the pairs with an identity for every clip, as `group_people`, but by the faces alone.

    Finds fewer people than face and voice together do, for where a voice must not decide whose it is.

    Args:
        pairs, face_space, apart: as of `group_people`.

    Raises:
        InputError: as `group_people`.
    """
    if not (pairs.identity == "").any():
        return pairs
    scores, video, known = score_faces(pairs, face_space), pairs.videos(), _known(pairs.identity)
    return _named(pairs, cluster(scores, video, known, apart, each_at_least=0.0))


def seen_at_once(video_id: np.ndarray, start_s: np.ndarray, end_s: np.ndarray) -> np.ndarray:
    """Returns the pairs of clips (n, 2) int that overlap in time in one video, and so show two people.

    Args:
        video_id, start_s, end_s: (C,) of the clips; seconds on the video's own clock.
    """
    order = np.lexsort((start_s, video_id))
    video, start, end = video_id[order], start_s[order], end_s[order]
    found = []
    step, left = 1, np.arange(len(order) - 1)
    # Compare with the next clip, then the one after: a clip that ends before one ends before all later ones.
    while len(left):
        left = left[left + step < len(order)]
        left = left[(video[left] == video[left + step]) & (start[left + step] + AT_ONCE_S <= end[left])]
        at_once = np.minimum(end[left], end[left + step]) - start[left + step] >= AT_ONCE_S
        found.append(np.column_stack([order[left], order[left + step]])[at_once])
        step += 1
    return np.concatenate(found) if found else np.empty((0, 2), np.int64)


def doubtful_pairs(pairs: Pairs, face_space: str, voice_space: str, false_each: float = 1.0) -> csr_matrix:
    """Returns which clips of different identities may be one person: (C, C) bool, sparse and symmetric.

    Args:
        pairs: C clips with identities.
        face_space: the space of their faces.
        voice_space: the space of their voices.
        false_each: the expected number of pairs of two people among these, per clip. A lost negative costs nothing,
            but a false negative misleads the model, so the bound is far lower than that of `group_people`.

    Raises:
        InputError: as `group_people`.
    """
    edges, _ = likely_edges(score_pairs(pairs, face_space, voice_space), pairs.videos(), false_each)
    people = pairs.people()
    edges = edges[people[edges[:, 0]] != people[edges[:, 1]]]
    both = np.concatenate([edges, edges[:, ::-1]])
    shape = (len(pairs), len(pairs))
    return csr_matrix((np.ones(len(both), bool), (both[:, 0], both[:, 1])), shape=shape)


def _named(pairs: Pairs, group: np.ndarray) -> Pairs:
    """Returns the pairs with the identity of the named clips in each group (C,), or one after its first clip."""
    named, first = pairs.identity != "", _first_by_name(group, pairs.clip_id)
    identity = np.array([f"person-{name}" for name in pairs.clip_id[first].tolist()], object)
    name_of = dict(zip(group[named].tolist(), pairs.identity[named].tolist(), strict=True))
    for clip, number in enumerate(group.tolist()):
        identity[clip] = name_of.get(number, identity[clip])
    return replace(pairs, identity=identity.astype(str))


def _known(identity: np.ndarray) -> np.ndarray:
    return np.where(identity == "", -1, np.unique(identity, return_inverse=True)[1])


def _first_by_name(group: np.ndarray, names: np.ndarray) -> np.ndarray:
    """Returns the clip (C,) with the lowest name in the group of each clip."""
    order = np.lexsort((names, group))
    first = np.searchsorted(group[order], group)
    return order[first]
