"""How well clusters agree with identities."""

from dataclasses import dataclass

import numpy as np

from pipelines.wording import number, percent

MISTRUSTED = 0.5  # precision below which clusters and identities contradict each other


@dataclass(frozen=True)
class Agreement:
    """How well clusters agree with the identities of the clips.

    Precision is the share of pairs in one cluster that are of one person, recall the share of pairs of one person
    that are in one cluster; None if there is no such pair. B-cubed F1 (Bagga and Baldwin, 1998) gives every clip the
    same weight.
    """

    clips: int
    people: int
    pairs_of_one_person: int
    precision: float | None
    recall: float | None
    b_cubed_f1: float

    def in_words(self) -> list[str]:
        """Sentences that say what the figures mean; a pair is one of clips."""
        precision = "No cluster has two clips with an identity, so there is no precision."
        if self.precision is not None:
            precision = (
                f"Of the pairs of clips in one cluster, {percent(self.precision)} are of one person (precision)."
            )
        recall = "Every person has one clip, so the identities have no pair that a cluster could find (recall)."
        if self.recall is not None:
            recall = f"Of the pairs of one person, {percent(self.recall)} are in one cluster (recall)."
        f1 = f"B-cubed F1 is {number(self.b_cubed_f1)}; 1 if clusters and identities are the same."
        found = [precision, recall, f1]
        if self.precision is not None and self.precision < MISTRUSTED:
            found.append(
                "Most pairs in a cluster have two identities. Either the identities are wrong, or the encoders "
                "cannot tell these people apart."
            )
        return found


def agreement(group: np.ndarray, person: np.ndarray) -> Agreement:
    """How well clusters agree with people.

    Args:
        group: (C,) the cluster of each clip.
        person: (C,) the person of each clip.
    """
    number = np.unique(person, return_inverse=True)[1].astype(np.int64)
    group = np.unique(group, return_inverse=True)[1].astype(np.int64)
    together = np.unique(group * (number.max() + 1) + number, return_inverse=True)[1]
    sizes = [np.bincount(value) for value in (together, group, number)]
    both, grouped, same = (int(np.sum(size * (size - 1) // 2)) for size in sizes)
    in_both, in_group, in_person = (size[value] for size, value in zip(sizes, (together, group, number), strict=True))
    precision, recall = float(np.mean(in_both / in_group)), float(np.mean(in_both / in_person))
    return Agreement(
        clips=len(group),
        people=len(sizes[2]),
        pairs_of_one_person=same,
        precision=both / grouped if grouped else None,
        recall=both / same if same else None,
        b_cubed_f1=2 * precision * recall / (precision + recall),
    )
