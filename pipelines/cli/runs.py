"""Commands about the jobs that wrote to a store: runs list, runs show."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.app import Json, StoreUri, runs
from pipelines.cli.output import label, print_json, print_line, print_result, print_table
from pipelines.wording import count, moment, seconds, size

if TYPE_CHECKING:
    from pipelines.maintenance.runs import RunRecord

# Of a run's command or summary: how its progress is told; failures are with --errors.
UNSHOWN = ("held_by", "sources", "unit", "failures")
REASONS = 5  # why videos failed, or why nothing was kept of them


@runs.command("list")
def listed(store: StoreUri, as_json: Json = False) -> None:
    """List the runs of a store, newest first: who started them, when, what they did, and how many items failed.

    `vclip runs --store STORE` does the same.

    Example: `vclip runs list --store work/store`
    """
    from pipelines.maintenance.runs import list_runs

    found = list_runs(store)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            f"{run.run_id}\n{run.started_at[:16].replace('T', ' ')} UTC{', ' if run.who else ''}{run.who}",
            "" if run.took_s is None else seconds(run.took_s),
            "\n".join(filter(None, [_what(run), "" if run.state == "finished" else run.state, _counted(run.counts)])),
            f"{run.errors:,}" if run.errors else "",
        )
        for run in found
    ]
    print_table(f"store {store}", ("run", "took", "what it did", "errors"), rows, whole="run")
    print_line(count(len(found), "run"))


@runs.command()
def show(
    run: Annotated[str, typer.Argument(help="Id of the run, as `vclip runs` shows it.")],
    store: StoreUri,
    errors: Annotated[
        bool, typer.Option("--errors", help="Show the items that failed, and the tracebacks that the run kept.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what a run did and, with --errors, why items failed.

    A traceback is kept for each place that raised, whether the input or this program is at fault.

    Example: `vclip runs show 20261123T051708962325-0cb306fa --store work/store --errors`
    """
    from pipelines.maintenance.runs import show_run

    found = show_run(store, run, errors)
    if as_json:
        print_json(found)
        return
    shown = {"run": found.run_id, "job": found.job, "who": found.who, "started": moment(found.started_at)}
    shown |= {"state": found.state, "took_s": found.took_s}
    shown |= {name: value for name, value in found.command.items() if name not in (*shown, *UNSHOWN) and value}
    shown["inputs"] = "\n".join(map(str, found.command.get("inputs") or ()))
    did = ingest_in_words(found.summary) if "funnel" in found.summary else dict(found.summary)
    did = {name: value for name, value in did.items() if name not in ("run", "took", "took_s", *UNSHOWN)}
    print_result(shown | did, False, f"store {store}")
    print_table("failed", ("input", "reason"), [(item.uri, item.reason) for item in found.failed])
    for trace in found.tracebacks:
        print_line(f"--- {trace.address}\n{trace.text}")
    if errors:
        kept = count(len(found.tracebacks), "traceback")
        failed = max(found.errors, len(found.failed))
        print_line(f"{count(failed, 'failed item')}, {kept} in {found.folder}")


def _what(run: "RunRecord") -> str:
    first, *others = [*map(str, run.command.get("inputs") or ()), ""]
    return f"{run.job} {first}".strip() + (f" and {len(others) - 1} more" if len(others) > 1 else "")


def ingest_in_words(summary: Mapping[str, Any]) -> dict[str, str]:
    """Returns the summary of an ingest for people; the configuration, a page long, is in the JSON.

    Args:
        summary: `Summary.to_json()`, or what the store keeps of it.
    """
    from pipelines.extraction.types import outcome_in_words

    dropped = {
        outcome_in_words(name.removeprefix("drop:")): number
        for name, number in summary["funnel"].items()
        if name.startswith("drop:")
    }
    reasons = sorted(summary["reasons"].items(), key=lambda entry: -entry[1])
    words = {
        "run": summary.get("run_id", ""),
        "videos": _counted(summary["videos"]),
        "in the store already": _number(summary["known"]),
        "deleted on request, not ingested": _number(summary["deleted"]),
        "copies of other inputs": _number(summary["doubles"]),
        "stored by another run": _number(summary["elsewhere"]),
        "removed, their files have changed": _number(summary["outdated"]),
        "left out by their ending": _counted(summary["passed_over"]),
        "length of the videos": seconds(summary["video_s"]) if summary["video_s"] else "",
        "size of their files": size(summary["size_bytes"]) if summary["size_bytes"] else "",
        "rows in the store": _counted(summary["rows"]),
        "candidates dropped": "\n".join(f"{number:,}: {why}" for why, number in _most(dropped)),
        "empty or failed": "\n".join(f"{number:,}: {why}" for why, number in reasons[:REASONS]),
        "took": seconds(summary["took_s"]),
        "cores": f"{summary['cores']:g}" if summary.get("cores") else "",
    }
    return {name: value for name, value in words.items() if value}


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(((name, number) for name, number in counts.items() if number), key=lambda entry: -entry[1])


def _number(number: int) -> str:
    return f"{number:,}" if number else ""


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {label(name)}" for name, number in counts.items() if number)
