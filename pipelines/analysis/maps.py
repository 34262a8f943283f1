"""`vclip map`: the clips of a store on a plane by their faces or voices, coloured by what is known of them."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from pipelines.analysis.clip_vectors import clips_with, directions
from pipelines.html.plots import plot_map
from pipelines.progress import step
from stores import Snapshot, Store
from stores.errors import nearest
from vclip.errors import InputError
from vclip.files import whole_file

OF = ("faces", "voices")
METHODS = ("pca", "umap")
ROWS = 1 << 14  # at a time


@dataclass(frozen=True)
class Plane:
    """Where clips lie."""

    points: np.ndarray  # (C, 2) float32
    axes: tuple[str, str]  # what the coordinates are


def draw_map(
    store_uri: str,
    out: Path,
    of: str = "faces",
    method: str = "pca",
    colour: str | None = None,
    where: str | None = None,
) -> dict[str, Any]:
    """Writes a picture of the map to `out`, and its points beside it as .csv; returns what they are.

    Args:
        store_uri: the store.
        out: a .png or .svg file.
        of: faces or voices; a clip lies at the mean direction of its own.
        method: pca, or umap where umap-learn is installed.
        colour: a column of clips, or a number of the faces or voices, as quality or snr_db, whose mean is taken.
        where: SQL filter over clips.

    Raises:
        InputError, StoreError: no store, too few clips, an unknown column or method, or `out` cannot be written.
    """
    if of not in OF or method not in METHODS:
        given, known = (f"--of '{of}'", OF) if of not in OF else (f"--method '{method}'", METHODS)
        raise InputError(f"{given}: expected one of {', '.join(known)}")
    if out.suffix not in (".png", ".svg"):
        raise InputError(f"--out {out}: expected a file that ends in .png or .svg")
    snapshot = Store.open(store_uri).snapshot()
    _check_colour(snapshot, of, colour)
    own = colour in snapshot.schema("clips").names
    clips = clips_with(snapshot, (of,), ["identity", *([colour] if colour and own else [])], where)
    if len(clips) < 3:
        raise InputError(f"map: found {len(clips)} clips, expected at least 3")
    values = clips[colour] if own else _means(snapshot, of, colour, clips) if colour else None
    plane = (_pca if method == "pca" else _umap)(directions(snapshot, of, None, clips))
    label = f"{of} of {len(clips):,} clips" + (f", coloured by {colour}" if colour else "")
    with whole_file(out) as part:
        plot_map(part, plane.points, plane.axes, label, values)
    table = out.with_suffix(".csv")
    with whole_file(table) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("clip_id", "x", "y", "identity", *([colour] if colour and colour != "identity" else [])))
        extra = [values.to_pylist()] if colour and colour != "identity" else []
        columns = (clips["clip_id"].to_pylist(), *plane.points.T.tolist(), clips["identity"].to_pylist(), *extra)
        writer.writerows(zip(*columns, strict=True))
    return {"out": str(out), "table": str(table), "clips": len(clips), "of": of, "method": method, "axes": plane.axes}


def _check_colour(snapshot: Snapshot, of: str, colour: str | None) -> None:
    kinds = {field.name: field.type for field in [*snapshot.schema(of), *snapshot.schema("clips")]}
    drawn = [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_floating(kind)]
    if colour is not None and colour not in drawn:
        raise InputError(
            f"--colour '{colour}': not a column of clips or {of} with text or numbers; {nearest(colour, drawn)}"
        )
    if colour and colour not in snapshot.schema("clips").names and not pa.types.is_floating(kinds[colour]):
        raise InputError(
            f"--colour '{colour}': {of} have several for a clip; expected a column of clips, or a number"
        )


def _means(snapshot: Snapshot, of: str, column: str, clips: pa.Table) -> pa.ChunkedArray:
    """Returns the mean (C,) of a number over the faces or voices of each clip; null where all are."""
    means = snapshot.query(of, ["clip_id", column]).group_by("clip_id").aggregate([(column, "mean")])
    return means[f"{column}_mean"].take(compute.index_in(clips["clip_id"], means["clip_id"].combine_chunks()))


def _pca(vectors: np.ndarray) -> Plane:
    """Returns the two directions in which the vectors (C, d) differ most; a sign makes each largest part positive."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((vectors.shape[1],) * 2)
    for start in range(0, len(vectors), ROWS):
        part = vectors[start : start + ROWS] - mean
        scatter += part.T @ part
    variance, axes = np.linalg.eigh(scatter)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    shares = variance[::-1][:2] / max(variance.sum(), 1e-300)
    points = np.vstack([(vectors[i : i + ROWS] - mean) @ axes for i in range(0, len(vectors), ROWS)])
    first, second = (
        f"{name} component, {share:.0%} of the variance"
        for name, share in zip(("first", "second"), shares, strict=True)
    )
    return Plane(points.astype(np.float32), (first, second))


def _umap(vectors: np.ndarray) -> Plane:
    try:
        from umap import UMAP
    except ImportError:
        raise InputError("--method umap: umap-learn is not installed; pip install umap-learn, or use pca") from None
    with step("umap", len(vectors), "clips") as drawing:
        points = UMAP(metric="cosine", random_state=0).fit_transform(vectors)
        drawing.set(len(vectors))
    return Plane(np.asarray(points, np.float32), ("UMAP 1", "UMAP 2"))
