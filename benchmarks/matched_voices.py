"""How well generated voices suit faces: the systems of `vclip evaluate-generation` on several splits of people.

    python benchmarks/matched_voices.py --store work/pairs --speakers work/speakers --folder work/matched [--seeds 3]

Each seed draws other test people and trains model and evaluator anew on halves of the rest. Prints two Markdown
tables: a column for each split, and all splits together with the interval of the mean of independent splits (their
people overlap a little). A split whose figures are already in the folder is not run again.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from pipelines.config import Config
from pipelines.generation.evaluate import evaluate_generation
from vclip.config import load

Figure = dict[str, float | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--speakers", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--people", type=int, default=100, help="judged in each split")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="section.key=value, as of vclip")
    args = parser.parse_args()
    splits = [figures(args, seed) for seed in range(args.seeds)]
    systems = [{row["system"]: row for row in split["systems"]} for split in splits]
    shown = {"f2v": "{:.3f}", "log_likelihood": "{:.0f}", "alike": "{:.3f}", "pitch": "{:.1f}", "quality": "{:.2f}"}
    table("", systems, {name: form.format for name, form in shown.items()})
    differences = [split["differences"] for split in splits]
    table("difference, the same people", differences, {"f2v": "{:+.3f}".format, "log_likelihood": "{:+.0f}".format})


def figures(args: argparse.Namespace, seed: int) -> dict:
    """Returns the figures of a split, measured unless they are in the folder."""
    out = args.folder / f"seed{seed}"
    if not (out / "generation.json").is_file():
        seeds = [f"generate.seed={seed}", f"train.seed={seed}", "generate.diversity=0"]
        config = load(Config, None, [*seeds, *args.set])
        evaluate_generation(args.store, args.speakers, config, people=args.people, out=out)
    return json.loads((out / "generation.json").read_text())


def table(title: str, splits: list[dict[str, dict[str, Figure]]], shown: dict[str, Callable[[float], str]]) -> None:
    """Prints the figures of each split and of all."""
    first, *others = shown
    print(f"\n| {title} | {' | '.join(f'{first}, split {n}' for n in range(len(splits)))} | {first}, all |", end="")
    print(f" {' | '.join(others)} |\n|{'---|' * (len(splits) + 2 + len(others))}")
    for name in splits[0]:
        each = [said(split[name][first], shown[first]) for split in splits]
        whole = [said(mean([split[name][key] for split in splits]), form) for key, form in shown.items()]
        print(f"| {name} | {' | '.join(each)} | {' | '.join(whole)} |")


def mean(found: list[Figure]) -> Figure:
    """Returns the mean of independent figures, with its interval."""
    if any(figure["value"] is None for figure in found):
        return {"value": None, "low": None, "high": None}
    value = sum(figure["value"] for figure in found) / len(found)
    half = sum(((figure["high"] - figure["low"]) / 2) ** 2 for figure in found) ** 0.5 / len(found)
    return {"value": value, "low": value - half, "high": value + half}


def said(figure: Figure, form: Callable[[float], str]) -> str:
    if figure["value"] is None:
        return ""
    return f"{form(figure['value'])} ({form(figure['low'])} to {form(figure['high'])})"


if __name__ == "__main__":
    main()
