"""Commands about the jobs that wrote to a store: runs list, runs show."""

from typing import Annotated

import typer

from pipelines.cli.app import Json, StoreUri, runs
from pipelines.cli.output import print_json, print_line, print_result, print_table
from pipelines.wording import count


@runs.command("list")
def listed(store: StoreUri, as_json: Json = False) -> None:
    """List the runs of a store, the newest first.

    Example: `vclip runs list --store work/store`
    """
    from pipelines.maintenance.runs import list_runs

    found = list_runs(store)
    if as_json:
        print_json(found)
        return
    rows = [(run.run_id, run.job, run.started_at, run.state) for run in found]
    print_table(f"store {store}", ("run", "job", "started", "state"), rows, whole="run")
    print_line(count(len(found), "run"))


@runs.command()
def show(
    run: Annotated[str, typer.Argument(help="Id of the run, as `vclip runs list` shows it.")],
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
    shown = {"run": found.run_id, "job": found.job, "started": found.started_at, "state": found.state}
    print_result(shown | dict(found.summary), False, f"store {store}")
    print_table("failed", ("input", "reason"), [(item.uri, item.reason) for item in found.failed])
    for trace in found.tracebacks:
        print_line(f"--- {trace.address}\n{trace.text}")
    if errors:
        kept = count(len(found.tracebacks), "traceback")
        print_line(f"{count(len(found.failed), 'failed item')}, {kept} in {found.folder}")
