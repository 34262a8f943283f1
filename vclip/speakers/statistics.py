"""What papers on speaker generation report of drawn speakers: are they new, do they differ, do they fit in?

After Stanton et al., Speaker generation (TacoSpawn), 2022, section 4: how near is the nearest speaker of another set?
As cosines, higher is nearer. As many speakers are drawn as are known: of more, the nearest is nearer.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from vclip.speakers.generator import SpeakerGenerator

COPY_QUANTILE = 0.99


def statistics(generator: "SpeakerGenerator", seed: int = 0) -> dict[str, Any]:
    """Returns the statistics of speakers drawn from a generator, JSON-ready.

    nearest_known_*: mean cosine with the nearest (other) known speaker, of drawn and of known speakers.
    nearest_generated: of a drawn speaker with the nearest other drawn one.
    copies: the share of drawn speakers that are nearer to a known one than all but 1 % of known ones are to another;
        0.01 is what no copying at all gives.
    alike_*: mean cosine between two speakers, drawn or known; the same means as diverse.
    gender_kept: of speakers drawn for a gender, how many have a nearest known speaker of it, mean over the genders;
        gender_kept_known is that share of the known speakers themselves, and what can be hoped for.
    """
    known = generator.bank.vectors
    drawn = generator.sample(len(known), seed)
    to_known, among_known, among_drawn = drawn @ known.T, _others(known), _others(drawn)
    limit = np.quantile(among_known.max(axis=1), COPY_QUANTILE)
    found = {
        "log_likelihood_generated": float(generator.log_likelihood(drawn).mean()),
        "nearest_known_cosine_generated": float(to_known.max(axis=1).mean()),
        "nearest_known_cosine_known": float(among_known.max(axis=1).mean()),
        "nearest_generated_cosine": float(among_drawn.max(axis=1).mean()),
        "copies": float((to_known.max(axis=1) > limit).mean()),
        "alike_generated": _mean_off_diagonal(among_drawn),
        "alike_known": _mean_off_diagonal(among_known),
    }
    genders = sorted(set(generator.bank.gender.tolist()) - {""})
    if len(genders) > 1:
        of = generator.bank.gender
        nearest = {name: (generator.sample(len(known), seed, name) @ known.T).argmax(axis=1) for name in genders}
        labelled = of != ""
        found["gender_kept"] = float(np.mean([(of[rows] == name).mean() for name, rows in nearest.items()]))
        found["gender_kept_known"] = float((of[among_known.argmax(axis=1)] == of)[labelled].mean())
    return found


def _others(vectors: np.ndarray) -> np.ndarray:
    """Returns cosines (n, n), those with itself at -1."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return cosines


def _mean_off_diagonal(cosines: np.ndarray) -> float:
    n = len(cosines)
    return float((cosines.sum() + n) / (n * (n - 1)))  # the diagonal holds -1
