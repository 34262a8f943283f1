"""The tables of `evaluate`, `compare` and `benchmark-association`."""

from collections.abc import Mapping
from typing import Any

from pipelines.cli.output import interval, print_line, print_table
from pipelines.wording import count


def print_evaluation(result: Mapping[str, Any], title: str) -> None:
    """Prints the figures of an evaluation, as `evaluate` returns them, by subgroup, kind of trial and direction.

    Args:
        result: the evaluation as JSON.
        title: above the first table: the model and what it is evaluated on.
    """
    subgroups = result.get("subgroups") or {"trial list": result}
    title += ": people SEEN in training" if result["seen"] else ""
    rows = []
    for name, subgroup in subgroups.items():
        found = subgroup["verification"]
        if found:
            match = [interval((subgroup["matching"] or {}).get(way, {}).get("1:2")) for way in ("v2f", "f2v")]
            trials = f"{found['positives'] + found['negatives']:,}"
            rows.append((name, interval(found["auc"]), interval(found["eer"]), *match, trials))
    print_table(title, ("trials within", "AUC", "EER", "1:2 V2F", "1:2 F2V", "trials"), rows)
    rows = [
        (name, interval(found["auc"]), interval(found["eer"]), f"{found['positives']:,}")
        for name, found in result.get("positives", {}).items()
    ]
    if rows:
        print_table("", ("same person, voice of the face's", "AUC", "EER", "trials"), rows)
    whole = next(iter(subgroups.values()))
    for kind, found in (("matching", whole["matching"]), ("retrieval", result["retrieval"])):
        if found:
            rows = [
                ("mAP" if name == "map" else name.upper(), *(interval(found[way][name]) for way in ("v2f", "f2v")))
                for name in found["v2f"]
            ]
            print_table("", (kind, "V2F", "F2V"), rows)
    for name, why in result.get("missing", {}).items():
        print_line(f"not measured, {name}: {why}")
    print_line(_compared(result))
    print_line(f"below each figure: its 95% interval, from {count(result['draws'], 'draw')} of people")
    print_warning(result)


def print_positives(positives: Mapping[str, int]) -> None:
    """Prints how many same-person trials there are of each kind of voice."""
    kinds = ", ".join(f"{trials:,} of {kind}" for kind, trials in positives.items() if trials)
    print_line(f"same-person trials, by the voice: {kinds}")


def print_warning(result: Mapping[str, Any]) -> None:
    """Prints the warning of an evaluation or a comparison, if it has one."""
    if result["warning"]:
        print_line(f"WARNING: {result['warning']}")


def _compared(result: Mapping[str, Any]) -> str:
    """Returns what is compared: trials of a list, clips, or people by several of their clips."""
    people = count(result["people"], "person", "people")
    if "clips" not in result:
        return f"{count(result['trials'], 'trial')} of {people}"
    drawn = f" (drawn from {result['of_clips']:,})" if result["of_clips"] > result["clips"] else ""
    text = f"{count(result['clips'], 'clip')}{drawn} of {people}"
    if result["views"]:
        clips = f"up to {count(result['views'], 'clip')}"
        text += f"; the face and the voice of a person are over {clips}, in {count(result['galleries'], 'draw')}"
    return text
