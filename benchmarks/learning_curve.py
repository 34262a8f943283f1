"""How often the intervals of learning curves contain the truth, on synthetic people of many kinds.

    python benchmarks/learning_curve.py [--worlds 40] [--people 250] [--method cca] [--json FILE]

A world has a few shared causes, the first in two clusters like gender, and its own noise. Each curve is measured by
five folds of its people, extrapolated to three and ten times the largest size, and compared with models that were
trained on so many other people and tested on 1500 more. A world takes 11 s on one core.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from pipelines.progress import say
from vclip.association.learning_curve import learning_curve, sizes_up_to
from vclip.association.methods import method_of
from vclip.association.metrics import Crossing, all_trials, auc, draw_people
from vclip.association.metrics.verification import drawn_auc
from vclip.association.pairs import Pairs
from vclip.association.scores import Scores, clip_scores
from vclip.association.training import TrainConfig, train

D_FACE, D_VOICE = 40, 28
TESTED = 1500  # people behind the truth
DRAWS, FOLDS = 200, 5


def people_of(world, count, seed):
    """Returns pairs of `count` people, one clip each; the world fixes how faces and voices are made."""
    rng = np.random.default_rng([7, world])
    causes, decay, lead, noise = int(rng.integers(3, 14)), rng.uniform(0.5, 1), rng.uniform(1, 3), rng.uniform(1, 3.5)
    strength = lead * np.append(1, 0.5 * decay ** np.arange(causes - 1))
    mix = [rng.normal(size=(causes, dim)) * strength[:, None] / 3 for dim in (D_FACE, D_VOICE)]
    rng = np.random.default_rng([world, seed, 3])
    shared = rng.normal(size=(count, causes))
    shared[:, 0] = np.sign(shared[:, 0])
    faces, voices = ((shared @ m + noise * rng.normal(size=(count, m.shape[1]))).astype(np.float32) for m in mix)
    rows, names = np.arange(count), np.array([f"{seed}-{row}" for row in range(count)])
    return Pairs(faces, rows, voices, rows, names, names, names, np.where(shared[:, 0] > 0, "f", "m"))


def curve_of(pairs, fit):
    """Returns the learning curve of pairs, by folds."""
    fold, people = pairs.folds(FOLDS, 0), len(pairs)
    sizes = sizes_up_to(people - -(-people // FOLDS))
    everybody, times = np.unique(pairs.identity), draw_people(people, DRAWS)
    found = np.zeros((FOLDS, len(sizes), 1 + DRAWS))
    for number in range(FOLDS):
        rest, test = pairs.select(fold != number), pairs.select(fold == number)
        order = np.random.default_rng([0, number]).permutation(len(rest))
        drawn = times[:, np.searchsorted(everybody, np.unique(test.identity))]
        for column, size in enumerate(sizes):
            scores = Scores.of(fit(rest.select(order < size)), test)
            found[number, column] = drawn_auc(Crossing(scores, test.people()), drawn)
    return learning_curve(sizes, found)


def truth_of(world, people, repeats, fit):
    """Returns the mean AUC of models of so many people, on people of nobody's training."""
    test = people_of(world, TESTED, 1)
    models = (fit(people_of(world, people, 10 + repeat)) for repeat in range(repeats))
    return float(np.mean([auc(all_trials(clip_scores(model, test), test.people())) for model in models]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--people", type=int, default=250)
    parser.add_argument("--method", default="cca")
    parser.add_argument("--json", type=Path, help="all figures")
    given = parser.parse_args()
    method = method_of(given.method)
    config = method.config(TrainConfig(device="cpu", max_steps=0))

    def fit(pairs):
        return train(pairs, "faces", "voices", config, fit_one=method.fit)[0]

    rows = []
    for world in range(given.worlds):
        curve = curve_of(people_of(world, given.people, 0), fit)
        now = truth_of(world, curve.sizes[-1], 4, fit)
        for prediction, repeats in zip(curve.predictions, (3, 2), strict=True):
            truth = truth_of(world, prediction.people, repeats, fit)
            inside = prediction.auc.low <= truth <= prediction.auc.high
            gained = prediction.gain.low <= truth - now <= prediction.gain.high
            rows.append({"world": world, "people": prediction.people, "truth": truth, "auc": prediction.auc.value,
                         "inside": bool(inside), "gain": truth - now, "gain_inside": bool(gained)})  # fmt: skip
            say(f"world {world}, {prediction.people:,} people: {prediction.auc}, truth {truth:.3f}")
    for people in sorted({row["people"] for row in rows}):
        of = [row for row in rows if row["people"] == people]
        inside, gained = (np.mean([row[name] for row in of]) for name in ("inside", "gain_inside"))
        print(f"{people:,} people: AUC inside its interval in {inside:.2f} of {len(of)} worlds, gain in {gained:.2f}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
