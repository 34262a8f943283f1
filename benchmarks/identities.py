"""Pseudo-identities: the scores of impostor pairs, and how well people are recovered when their names are hidden.

    python benchmarks/identities.py fit --store work/pairs        the constants of clustering/pair_scores.py
    python benchmarks/identities.py real --store work/pairs       fitted on four folds of people, tested on the fifth
    python benchmarks/identities.py planted --clips 10000         synthetic people with the cosines of real ones

`work/pairs` is the shared data imported with configs/offline.yaml. Prints JSON, for average linkage as in
`vclip.group_people`, and for single links above two thresholds, the method before it.
"""

import argparse
import json
import resource
import time
from contextlib import contextmanager
from dataclasses import replace
from statistics import NormalDist

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from stores import Store
from vclip.association.clustering import pair_scores
from vclip.association.clustering.pseudo_identities import group_people
from vclip.association.pairs import Pairs, mean_direction

SPACES = ("dlib/resnet-v1-128/crop1", "resemblyzer/ge2e-256")
# The shared pairs are named by their videos. Seen by eye among the likeliest pairs of two names and the least
# likely of one: these names are one person's,
ONE_PERSON = {"yt_42ae971e": "yt_b640fcd5", "yt_74a81723": "yt_ccf9a184", "yt_60af8408": "yt_4454ca03"}
TWO_PEOPLE_ABOVE = 0.9  # and the two pairs of one name whose faces are less alike than this show two people.
SINGLE_LINK = (0.94, 0.75)  # cosines of faces and of voices


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("fit", "real", "planted"))
    parser.add_argument("--store")
    parser.add_argument("--as-labelled", action="store_true", help="the labels as they are, wrong ones too")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--clips-each", type=float, default=5.0, help="mean, of a geometric distribution")
    parser.add_argument("--harder", type=float, default=0.0, help="1: clips of a person differ twice as much")
    parser.add_argument("--no-single", action="store_true", help="leave single links out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.what == "planted":
        pairs = planted(args.clips, args.clips_each, args.harder, args.seed)
        print(json.dumps(compared(pairs, pairs.identity, not args.no_single)))
        return
    pairs = Pairs.of(Store.open(args.store).pairs())
    person, known = labelled(pairs, args.as_labelled)
    print(json.dumps(fit(pairs, person, known) if args.what == "fit" else cross_validated(pairs, person, known)))


def labelled(pairs: Pairs, as_labelled: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns the person (C,) of each clip, and which pairs of clips (C, C) are excluded from the evaluation."""
    if as_labelled:
        return pairs.identity, np.zeros((len(pairs), len(pairs)), bool)
    person = np.array([ONE_PERSON.get(name, name) for name in pairs.identity.tolist()])
    faces = mean_direction(pairs.faces, pairs.face_clip, len(pairs))
    wrong = (person[:, None] == person) & (faces @ faces.T < TWO_PEOPLE_ABOVE)
    return person, wrong


def fit(pairs: Pairs, person: np.ndarray, wrong: np.ndarray, clips: np.ndarray | None = None) -> dict:
    """Returns the constants of clustering/pair_scores.py, from the pairs of the given clips (C,) bool."""
    from sklearn.linear_model import LogisticRegression

    one, other = np.triu_indices(len(pairs), 1)
    use = ~wrong[one, other] if clips is None else ~wrong[one, other] & clips[one] & clips[other]
    one, other = one[use], other[use]
    same = person[one] == person[other]
    cosines = np.column_stack([
        np.einsum("nd,nd->n", direction[one], direction[other])
        for direction in (
            mean_direction(pairs.faces, pairs.face_clip, len(pairs)),
            mean_direction(pairs.voices, pairs.voice_clip, len(pairs)),
        )
    ])  # fmt: skip
    mean, spread = cosines[~same].mean(axis=0), cosines[~same].std(axis=0)
    model = LogisticRegression(C=1e6, max_iter=1000).fit((cosines - mean) / spread, same)
    sums = ((cosines - mean) / spread).sum(axis=1)
    bounds = [3.0, 3.5, 4.0, 4.5]  # in standard deviations of the sum
    expected = [round((~same).sum() * NormalDist().cdf(-bound), 1) for bound in bounds]
    sum_spread = float(sums[~same].std())
    return {
        "pairs_of_one_person": int(same.sum()),
        "pairs_of_two": int((~same).sum()),
        "face": [float(mean[0]), float(spread[0])],
        "voice": [float(mean[1]), float(spread[1])],
        "weights": model.coef_[0].tolist(),
        "spread": sum_spread,
        "bounds": bounds,
        "impostors_above_if_normal": expected,
        "impostors_above": [int((sums[~same] > bound * sum_spread).sum()) for bound in bounds],
        "of_one_person_above": [int((sums[same] > bound * sum_spread).sum()) for bound in bounds],
    }


def cross_validated(pairs: Pairs, person: np.ndarray, wrong: np.ndarray, folds: int = 5) -> dict:
    """Returns the figures of all pairs, each pair scored by constants fitted without the people of its first clip."""
    number = np.unique(person, return_inverse=True)[1]
    fold = np.random.default_rng(0).permutation(folds * (number.max() // folds + 1))[number] % folds
    found = {"average linkage": [], "average linkage, space unknown": [], "single links": []}
    for left_out in range(folds):
        clips = fold != left_out
        judge = ~wrong & ~clips[:, None]
        with constants(fit(pairs, person, wrong, clips)):
            found["average linkage"].append((grouped(pairs, SPACES), judge))
            found["average linkage, space unknown"].append((grouped(pairs, ("a", "b")), judge))
        found["single links"].append((single_links(pairs), judge))
    sums = {
        name: np.sum([counts(group, person, judge) for group, judge in each], axis=0) for name, each in found.items()
    }
    result = {name: rates(*total) for name, total in sums.items()}
    return result | {"on all people": compared(pairs, person, wrong=wrong)}


@contextmanager
def constants(fitted: dict):
    """Puts fitted constants in the place of the module's."""
    kept = {name: getattr(pair_scores, name) for name in ("SPREAD", "IMPOSTORS")}
    pair_scores.SPREAD, pair_scores.IMPOSTORS = (
        fitted["spread"],
        {"dlib": fitted["face"], "resemblyzer": fitted["voice"]},
    )
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(pair_scores, name, value)


def compared(pairs: Pairs, person: np.ndarray, single: bool = True, wrong: np.ndarray | None = None) -> dict:
    """Returns the figures of each method on all clips, with the identities hidden."""
    methods = {
        "average linkage": lambda: grouped(pairs, SPACES),
        "average linkage, space unknown": lambda: grouped(pairs, ("a", "b")),
    } | ({"single links": lambda: single_links(pairs)} if single else {})
    result = {"clips": len(pairs), "people": len(set(person))}
    for name, method in methods.items():
        started_s = time.monotonic()
        group = method()
        took_s = time.monotonic() - started_s
        result[name] = rates(*counted(group, person, wrong)) | b_cubed(group, person)
        result[name] |= {"groups": len(set(group.tolist())), "seconds": round(took_s, 2)}
        result[name]["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return result


def grouped(pairs: Pairs, spaces: tuple[str, str]) -> np.ndarray:
    hidden = replace(pairs, identity=np.full(len(pairs), ""))
    return np.unique(group_people(hidden, *spaces)[0].identity, return_inverse=True)[1]


def single_links(pairs: Pairs, block: int = 1024) -> np.ndarray:
    """The method before: clips are linked if both cosines are above a threshold, and links chain."""
    faces = mean_direction(pairs.faces, pairs.face_clip, len(pairs))
    voices = mean_direction(pairs.voices, pairs.voice_clip, len(pairs))
    for stricter in range(7):
        rows, columns = [], []
        face, voice = SINGLE_LINK[0] + stricter * 0.005, SINGLE_LINK[1] + stricter * 0.01
        for start in range(0, len(pairs), block):
            part = slice(start, start + block)
            row, column = np.nonzero((faces[part] @ faces.T >= face) & (voices[part] @ voices.T >= voice))
            rows.append(row + start)
            columns.append(column)
        row, column = np.concatenate(rows), np.concatenate(columns)
        graph = coo_matrix((np.ones(len(row), bool), (row, column)), shape=(len(pairs), len(pairs)))
        group = connected_components(graph, directed=False)[1]
        if np.bincount(group).max() <= max(50, 0.02 * len(pairs)):
            break
    return group


def counts(group: np.ndarray, person: np.ndarray, judge: np.ndarray) -> np.ndarray:
    """Returns the number of pairs (C, C) that were linked correctly, linked, and should have been linked."""
    judge = np.triu(judge, 1)
    linked, same = group[:, None] == group, person[:, None] == person
    return np.array([np.sum(linked & same & judge), np.sum(linked & judge), np.sum(same & judge)])


def counted(group: np.ndarray, person: np.ndarray, wrong: np.ndarray | None) -> np.ndarray:
    """Like `counts`, for all pairs, from the sizes of the groups if no label is wrong."""
    if wrong is not None:
        return counts(group, person, ~wrong)
    pairs_in = [np.sum(size * (size - 1) // 2) for size in sizes(group, person)]
    return np.array(pairs_in)


def sizes(group: np.ndarray, person: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the number of clips of each group and person together, of each group, and of each person."""
    number = np.unique(person, return_inverse=True)[1].astype(np.int64)
    together = group.astype(np.int64) * (number.max() + 1) + number
    return tuple(np.unique(value, return_counts=True)[1] for value in (together, group, number))


def rates(right: int, linked: int, should: int) -> dict:
    precision, recall = right / max(linked, 1), right / max(should, 1)
    return {"precision": round(float(precision), 4), "recall": round(float(recall), 4), "false": int(linked - right)}


def b_cubed(group: np.ndarray, person: np.ndarray) -> dict:
    """B-cubed (Bagga and Baldwin, 1998): precision and recall of each clip's group, averaged over the clips."""
    number = np.unique(person, return_inverse=True)[1].astype(np.int64)
    together = np.unique(group.astype(np.int64) * (number.max() + 1) + number, return_inverse=True)[1]
    in_both, in_group, in_person = (np.bincount(x)[x] for x in (together, group, number))
    precision, recall = float(np.mean(in_both / in_group)), float(np.mean(in_both / in_person))
    return {"b_cubed_f1": round(2 * precision * recall / (precision + recall), 4)}


def planted(clips: int, clips_each: float, harder: float, seed: int) -> Pairs:
    """Returns clips, one video each, of synthetic people whose cosines are distributed like the real ones.

    A vector is what all people share, what is the person's own (in few directions, which spreads the cosines of two
    people), and what is the clip's own (of random strength), normed.

    Args:
        clips: how many.
        clips_each: the mean of a person's; many have one.
        harder: adds this share of a clip's own variance again.
        seed: of all of it.
    """
    rng = np.random.default_rng(seed)
    person = np.sort(np.searchsorted(np.cumsum(rng.geometric(1 / clips_each, clips)), np.arange(clips), side="right"))
    people = int(person.max()) + 1
    (face_mean, face_spread), (voice_mean, voice_spread) = (
        pair_scores.IMPOSTORS["dlib"],
        pair_scores.IMPOSTORS["resemblyzer"],
    )

    def vectors(dim: int, mean: float, spread: float, same: float) -> np.ndarray:
        own = same - mean
        directions = round((own / spread) ** 2)
        shared = np.zeros((1, dim), np.float32)
        shared[0, -1] = mean**0.5
        whose = np.zeros((people, dim), np.float32)
        drawn = rng.normal(size=(people, directions))
        whose[:, :directions] = drawn * own**0.5 / np.linalg.norm(drawn, axis=1, keepdims=True)
        strength = rng.gamma(4, 1 / 4, (clips, 1)) * (1 - same) * (1 + harder)
        noise = rng.standard_normal((clips, dim), np.float32) * np.sqrt(strength / dim).astype(np.float32)
        found = shared + whose[person] + noise
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    names = np.array([f"clip{number:07}" for number in range(clips)])
    faces, voices = vectors(128, face_mean, face_spread, 0.968), vectors(256, voice_mean, voice_spread, 0.865)
    each = np.arange(clips)
    return Pairs(faces, each, voices, each, names, names, np.char.add("p", person.astype(str)), np.full(clips, ""))


if __name__ == "__main__":
    main()
