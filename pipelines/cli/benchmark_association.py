"""The command `benchmark-association`: methods and encoders on a store, methods on a protocol, learning curves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, Where, app, config_of
from pipelines.cli.evaluation_tables import print_positives
from pipelines.cli.output import print_json, print_line, print_table
from pipelines.wording import count
from vclip.errors import InputError


@app.command("benchmark-association")
def benchmark_association(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder or zip archive with the files of --protocol.", show_default=False)
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Folder or object-store URI of the store to cross-validate on.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Published protocol instead: vfal-eva, self-lifting, fame, or a spec.")
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="Measure AUC by the number of training people instead, and extrapolate.")
    ] = False,
    methods: Annotated[
        list[str] | None,
        typer.Option("--method", help="Method to train; may be repeated. Default: all; with --curve, vclip."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Number of folds of people of the store. Default: 5.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of repetitions, each with new draws and models.")] = 1,
    face_spaces: Annotated[
        list[str] | None,
        typer.Option(
            "--face-space", help="Space of face vectors of the store; may be repeated, to compare encoders."
        ),
    ] = None,
    voice_spaces: Annotated[
        list[str] | None, typer.Option("--voice-space", help="Space of voice vectors of the store, likewise.")
    ] = None,
    where: Where = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for the figures and a plot.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Compare methods and encoders on a store, or methods on a protocol; or extrapolate to more people.

    On a store, all methods are cross-validated on the same held-out people. Figures are means and standard deviations
    over the folds; the difference from the best method has a 95% interval over people. Scores are normalised
    with the training people. Where the store has no genders, the two clusters of what faces and voices share most
    stand in for them. If several are named, each face space is combined with each voice space.

    On a protocol, all methods are trained on its training part, selected on its validation part, and measured on its
    trials, beside the published figures.

    Example: `vclip benchmark-association --store work/pairs --seeds 3 --out work/methods`

    Example: `vclip benchmark-association --store work/pairs --method vclip
    --face-space mirrored/dlib/resnet-v1-128/crop1 --face-space onnx-face/w600k_r50/buffalo_l/0123456789ab/crop1`

    Example: `vclip benchmark-association --protocol vfal-eva dataset.zip --method vclip --method cca`

    Example: `vclip benchmark-association --store work/pairs --curve --out work/curve`
    """
    resolved = config_of(config, set, "train")
    if (store is None) == (protocol is None):
        found = "neither --store nor --protocol" if store is None else "both --store and --protocol"
        raise InputError(f"benchmark-association: found {found}; expected one of them")
    if (protocol is None) != (folder is None):
        raise InputError("benchmark-association: expected --protocol together with the folder of its files")
    if protocol is not None and folder is not None:
        if where or curve or folds or face_spaces or voice_spaces:
            options = "--where, --curve, --folds, --face-space and --voice-space"
            raise InputError(f"benchmark-association: {options} need --store, found --protocol")
        _benchmark_protocol(protocol, folder, resolved, methods or (), seeds, out, as_json)
        return
    assert store is not None
    folds = folds or 5
    if curve:
        _learning_curves(
            store, resolved, methods or ("vclip",), folds, seeds, where, out, as_json,
            _only("--face-space", face_spaces), _only("--voice-space", voice_spaces),
        )  # fmt: skip
        return
    from pipelines.association.benchmark import benchmark, numbered_spaces, table

    result = benchmark(
        store,
        resolved,
        methods=methods or (),
        folds=folds,
        seeds=seeds,
        where=where,
        out=out,
        face_spaces=face_spaces or (),
        voice_spaces=voice_spaces or (),
    )
    if as_json:
        print_json(result)
        return
    head, *rows = table(result)
    people = count(result.people, "person", "people")
    print_table(f"{count(result.clips, 'clip')} of {people}", head, rows, whole="method")
    for name, spaces in numbered_spaces(result).items():
        for number, space in enumerate(spaces, 1):
            print_line(f"{name} {number}: {space}")
    print_positives(result.positives)


def _benchmark_protocol(
    spec: str, folder: Path, config: Any, methods: Sequence[str], seeds: int, out: Path | None, as_json: bool
) -> None:
    from pipelines.association.protocol import benchmark_protocol, sources, tables

    result = benchmark_protocol(spec, folder, config, methods, seeds, out)
    if as_json:
        print_json(result)
        return
    for part in result.parts:
        for kind, (head, *rows) in tables(part):
            print_table(" ".join(filter(None, (result.protocol, part.part, kind))), head, rows)
        for number, source in enumerate(sources(part), 1):
            print_line(f"[{number}] published on the files of the protocol: {source}")


def _learning_curves(
    store: str,
    config: Any,
    methods: Sequence[str],
    folds: int,
    seeds: int,
    where: str | None,
    out: Path | None,
    as_json: bool,
    face_space: str | None,
    voice_space: str | None,
) -> None:
    from pipelines.association.curve import learning_curves, table

    result = learning_curves(
        store,
        config,
        methods=methods,
        folds=folds,
        seeds=seeds,
        where=where,
        out=out,
        face_space=face_space,
        voice_space=voice_space,
    )
    if as_json:
        print_json(result)
        return
    head, *rows = table(result)
    print_table(f"{count(result.clips, 'clip')} of {count(result.people, 'person', 'people')}", head, rows)
    for sentence in (sentence for of in result.methods for sentence in of.sentences()):
        print_line(sentence)


def _only(option: str, values: Sequence[str] | None) -> str | None:
    if values and len(values) > 1:
        raise InputError(f"benchmark-association --curve: found {len(values)} of {option}, expected one")
    return values[0] if values else None
