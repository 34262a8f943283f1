"""Matching and retrieval, from the ranks of a probe's true matches in its gallery; tied scores are in random order.

All figures are expectations in closed form, over every choice of impostors and every order of ties; nothing is
sampled. So constant scores give the figures of chance, and no figure depends on a seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vclip.association.metrics.bootstrap import Figure
from vclip.association.metrics.scored_trials import Crossing

CHOICES = tuple(range(2, 11))  # N of 1:N matching
TOP = (1, 5, 10)  # k of R@k
MAX_DRAWN_POSITIVES = 10_000  # behind the intervals of matching; the figures themselves take all


@dataclass(frozen=True)
class RetrievalRanks:
    """For each true match of each probe, how its score compares with the other items of the gallery; (matches,)."""

    probe: np.ndarray  # int, row of the probe
    person: np.ndarray  # int
    share: np.ndarray  # float, 1 over the probe's number of true matches
    below: np.ndarray  # int, items of other people with a lower score
    tied: np.ndarray  # int, items of other people with the same score
    others: np.ndarray  # int, items of other people
    own_above: np.ndarray  # int, other true matches with a higher score
    own_tied: np.ndarray  # int, other true matches with the same score
    drawn: np.ndarray  # (d,) int, the matches behind the intervals: all, or a random part of a very large number
    drawn_below: np.ndarray  # (d, draws) float32: as `below`, counted with the people drawn
    drawn_tied: np.ndarray  # (d, draws) float32
    drawn_others: np.ndarray  # (d, draws) float32

    @classmethod
    def of(
        cls,
        crossing: Crossing,
        probes: str,
        times: np.ndarray,
        seed: int = 0,
        max_drawn: int = MAX_DRAWN_POSITIVES,
    ) -> "RetrievalRanks":
        """Returns the ranks of all true matches.

        Args:
            crossing: the scores; the gallery of a probe is its group.
            probes: "faces" to retrieve voices, "voices" to retrieve faces.
            times: (draws, people) from `draw_people`.
            seed: draws the matches behind the intervals where there are more than `max_drawn`.
            max_drawn: the number of matches behind the intervals, about, where there are more.
        """
        people, rng, parts = crossing.people, np.random.default_rng(seed), []
        positives = sum(int(np.sum(np.bincount(people[group]) ** 2)) for group in crossing.groups)
        share = min(1.0, max_drawn / max(1, positives))
        for probe, gallery in crossing.blocks():
            scores = crossing.score(probe, gallery) if probes == "faces" else crossing.score(gallery, probe).T
            weights = np.ascontiguousarray(times[:, people[gallery]].T)  # (gallery, draws)
            own = people[probe][:, None] == people[gallery]
            row, column = np.nonzero(own)
            step = max(1, crossing.block // len(gallery))
            for start in range(0, len(row), step):
                r, c = row[start : start + step], column[start : start + step]
                chosen = np.flatnonzero(rng.random(len(r)) < share)
                parts.append((probe[r], *_standing(scores[r], scores[r, c], own[r], weights, chosen)))
        probe, below, tied, others, own_above, own_tied, own_count, chosen, *drawn = (
            np.concatenate(part) for part in zip(*parts, strict=True)
        )
        # The start of each part, which turns rows of a part into rows of all matches.
        lengths = [len(part[0]) for part in parts]
        offset = np.repeat(np.cumsum(lengths) - lengths, [len(part[7]) for part in parts])
        return cls(
            probe, people[probe], 1 / own_count, below, tied, others, own_above, own_tied, chosen + offset, *drawn
        )  # fmt: skip


def matching(ranks: RetrievalRanks, times: np.ndarray, choices: Sequence[int] = CHOICES) -> dict[int, Figure]:
    """Returns N -> the rate at which a probe's true match scores above N - 1 items of other people.

    The probe is drawn at random, then one of its true matches and N - 1 different others; a tie is a guess. With b
    of M others below and t tied, the mean over all of those choices is

        ((b + t + 1)_N - b_N) / (N (t + 1) M_(N-1)),        x_n = x (x - 1) ... (x - n + 1)

    which is the mean of b_(N-1) / M_(N-1) over the t + 1 places that the match may take among its ties. An N for
    which no probe has N - 1 others is left out.
    """
    drawn = ranks.drawn
    weights = times[:, ranks.person[drawn]].T * ranks.share[drawn, None]  # (d, draws)
    values = (_mean(right, ranks.share) for right in _beats(ranks.below, ranks.tied, ranks.others, choices))
    drawn = (
        _mean(right, weights) for right in _beats(ranks.drawn_below, ranks.drawn_tied, ranks.drawn_others, choices)
    )
    figures = {n: Figure.of(float(value), draws) for n, value, draws in zip(choices, values, drawn, strict=True)}
    return {n: figure for n, figure in figures.items() if figure.value is not None}


def retrieval(ranks: RetrievalRanks, times: np.ndarray, top: Sequence[int] = TOP) -> dict[str, Figure]:
    """Returns the mean average precision `map`, and `r@k`, the rate at which a true match is among the first k.

    Ties are in random order (McSherry & Najork, Computing information retrieval performance measures efficiently in
    the presence of tied scores, 2008). The intervals draw the people of the probes; the gallery stays.
    """
    return {name: Figure.of(values[0], values[1:]) for name, values in drawn_retrieval(ranks, times, top).items()}


def drawn_retrieval(ranks: RetrievalRanks, times: np.ndarray, top: Sequence[int] = TOP) -> dict[str, np.ndarray]:
    """Returns each figure of `retrieval` for all people, then for each draw of people: name -> (1 + draws,)."""
    probes, first = np.unique(ranks.probe, return_index=True)
    place = np.searchsorted(probes, ranks.probe)
    above = ranks.others - ranks.below - ranks.tied
    precision = _precision(above, ranks.tied, ranks.own_above, ranks.own_tied)
    values = {"map": np.bincount(place, precision * ranks.share)}
    best = np.flatnonzero(ranks.own_above == 0)
    best = best[np.unique(place[best], return_index=True)[1]]  # one of each probe's best; tied ones are equal
    for k in top:
        values[f"r@{k}"] = _among(above[best], ranks.tied[best], ranks.own_tied[best] + 1, k)
    weights = times[:, ranks.person[first]]  # (draws, probes)
    return {name: weighted_means(value, weights) for name, value in values.items()}


def weighted_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns (1 + draws,): the mean of values (n,), then the means under weights (draws, n); NaN where all are 0."""
    total = weights.sum(1)
    drawn = np.divide(weights @ values, total, out=np.full(len(weights), np.nan), where=total > 0)
    return np.concatenate([[values.mean()], drawn])


def chance(ranks: RetrievalRanks, top: Sequence[int] = TOP) -> dict[str, float]:
    """Returns the figures of `retrieval` for equal scores, that is, by chance."""
    first = np.unique(ranks.probe, return_index=True)[1]
    own, others = np.round(1 / ranks.share[first]).astype(int), ranks.others[first]
    none = np.zeros_like(own)
    values = {"map": _precision(none, others, none, own - 1)} | {f"r@{k}": _among(none, others, own, k) for k in top}
    return {name: float(value.mean()) for name, value in values.items()}


def _standing(
    scores: np.ndarray, true: np.ndarray, own: np.ndarray, weights: np.ndarray, chosen: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Returns the fields of RetrievalRanks from `below` on, for matches whose galleries are the rows of `scores`."""
    lower, tied, other = scores < true[:, None], scores == true[:, None], ~own
    below, ties = lower & other, tied & other
    own_tied, own_count = (tied & own).sum(1), own.sum(1)
    own_above = own_count - own_tied - (lower & own).sum(1)
    drawn = (counted[chosen].astype(np.float32) @ weights for counted in (below, ties, other))
    return below.sum(1), ties.sum(1), other.sum(1), own_above, own_tied - 1, own_count, chosen, *drawn


def _beats(below: np.ndarray, tied: np.ndarray, others: np.ndarray, choices: Sequence[int]) -> Iterator[np.ndarray]:
    """Yields the formula of `matching` for each N, which must rise; NaN where there are fewer than N - 1 others."""
    low, high, left = (np.array(x, float) for x in (below, below + tied + 1, others))
    low_product, high_product, ways, places = low.copy(), high.copy(), np.ones_like(left), tied + 1.0
    at = 1
    for n in choices:
        for k in range(at, n):
            low_product *= np.maximum(low - k, 0)
            high_product *= np.maximum(high - k, 0)
            ways *= np.maximum(left - k + 1, 0)
        at = n
        with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 is the NaN that is wanted
            yield (high_product - low_product) / (n * places * ways)


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Returns means over the first axis, without NaN values; NaN where nothing has weight."""
    known = ~np.isnan(values)
    total = (weights * known).sum(0)
    return np.divide(np.nansum(values * weights, 0), total, out=np.full_like(total, np.nan), where=total > 0)


def _precision(above: np.ndarray, tied: np.ndarray, own_above: np.ndarray, own_tied: np.ndarray) -> np.ndarray:
    """Returns the expected precision at a true match, over the orders of its ties."""
    ahead, n = above + own_above, tied + own_tied + 1
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, (ahead + n).max() + 1))])
    places = harmonic[ahead + n] - harmonic[ahead]  # the sum of 1 / place over the places of the tie
    others_first = own_tied / np.maximum(n - 1, 1) * (n - (ahead + 1) * places)
    return ((own_above + 1) * places + others_first) / n


def _among(above: np.ndarray, tied: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Returns the probability that one of `own` true matches, tied with `tied` others, is among the first k."""
    miss = np.ones(len(above))
    for j in range(k):
        inside = above + j < k  # the tie still reaches into the first k
        miss = np.where(inside, miss * np.maximum(tied - j, 0) / np.maximum(tied + own - j, 1), miss)
    return 1 - miss
