"""`vclip map`: the clips of a store on a plane, placed by their faces or voices and coloured by a column."""

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from sklearn.decomposition import PCA

from pipelines.analysis.clips import clips_with, directions, write_columns
from pipelines.analysis.stats import measure_in_words
from pipelines.cluster.derived import record_derived
from pipelines.html.plots import plot_map
from pipelines.progress import say, step
from pipelines.wording import count
from stores import Snapshot, Store
from stores.arrow import compute
from stores.errors import nearest
from vclip.errors import InputError
from vclip.files import whole_file

OF = ("faces", "voices")
METHODS = ("pca", "umap")


@dataclass(frozen=True)
class MapResult:
    """The files of a map, and what they show."""

    out: str  # image
    table: str  # CSV of the points
    clips: int
    of: str  # faces | voices
    method: str  # pca | umap
    axes: tuple[str, str]  # labels of the coordinates


def draw_map(
    store_uri: str,
    out: Path,
    of: str = "faces",
    method: str = "pca",
    colour: str | None = None,
    where: str | None = None,
) -> MapResult:
    """Writes an image of the map to `out`, and its points to a .csv beside it.

    Args:
        store_uri: the store.
        out: a .png or .svg file.
        of: faces or voices; a clip is placed by the mean direction of its own.
        method: pca, or umap if umap-learn is installed.
        colour: a column of clips, or a numeric column of the faces or voices, such as quality or snr_db, which is
            averaged over the clip.
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
        raise InputError(f"map: found {count(len(clips), 'clip')}, expected at least 3")
    values = None if colour is None else clips[colour] if own else _means(snapshot, of, colour, clips)
    if colour and values is not None and values.null_count == len(values):
        say(f"map: {measure_in_words(colour)} is unknown for every clip, so all points have one colour")
        colour = values = None
    points, axes = (_pca if method == "pca" else _umap)(directions(snapshot, of, None, clips))
    title = f"{of} of {len(clips):,} clips"
    with whole_file(out) as part:
        plot_map(part, points, axes, title, values, measure_in_words(colour) if colour else "")
    columns = {"clip_id": clips["clip_id"].to_pylist(), "x": points[:, 0].tolist(), "y": points[:, 1].tolist()}
    columns["identity"] = clips["identity"].to_pylist()
    if colour and values is not None:
        columns[colour] = values.to_pylist()
    table = out.with_suffix(".csv")
    with whole_file(table) as part:
        write_columns(part, columns)
    record_derived(store_uri, "map", out)
    record_derived(store_uri, "map", table)
    return MapResult(str(out), str(table), len(clips), of, method, axes)


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, tuple[float, float]]:
    """The coordinates (n, 2) float32 of vectors along their first two principal axes, and each axis's share of the
    variance.

    The largest loading of each axis is positive (scikit-learn's convention), so the same vectors always give the same
    map. Coordinates without variance are zero.

    Args:
        vectors: (n, d).
    """
    points, shares = np.zeros((len(vectors), 2), np.float32), np.zeros(2)
    count = min(2, len(vectors) - 1, vectors.shape[1])
    if count > 0:
        pca = PCA(count, svd_solver="covariance_eigh")
        with np.errstate(invalid="ignore"):  # vectors that are all the same have no variance to share
            points[:, :count] = pca.fit_transform(vectors)
        shares[:count] = np.nan_to_num(pca.explained_variance_ratio_)
    return points, (float(shares[0]), float(shares[1]))


def _check_colour(snapshot: Snapshot, of: str, colour: str | None) -> None:
    kinds = {field.name: field.type for field in [*snapshot.schema(of), *snapshot.schema("clips")]}
    drawn = [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_floating(kind)]
    if colour is not None and colour not in drawn:
        raise InputError(
            f"--color '{colour}': not a column of clips or {of} with text or numbers; {nearest(colour, drawn)}"
        )
    if colour and colour not in snapshot.schema("clips").names and not pa.types.is_floating(kinds[colour]):
        raise InputError(f"--color '{colour}': {of} have several for a clip; expected a column of clips, or a number")


def _means(snapshot: Snapshot, of: str, column: str, clips: pa.Table) -> pa.ChunkedArray:
    """The mean (C,) of a number over the faces or voices of each clip; null if all are."""
    means = snapshot.query(of, ["clip_id", column]).group_by("clip_id").aggregate([(column, "mean")])
    return means[f"{column}_mean"].take(compute.index_in(clips["clip_id"], means["clip_id"].combine_chunks()))


def _pca(vectors: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    points, (first, second) = principal_components(vectors)
    return points, (
        f"first component, {first:.0%} of the variance",
        f"second component, {second:.0%} of the variance",
    )


def _umap(vectors: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    try:
        umap = importlib.import_module("umap")
    except ImportError:
        raise InputError("--method umap: umap-learn is not installed; pip install umap-learn, or use pca") from None
    with step("umap", len(vectors), "clips") as drawing:
        points = umap.UMAP(metric="cosine", random_state=0).fit_transform(vectors)
        drawing.set(len(vectors))
    return np.asarray(points, np.float32), ("UMAP 1", "UMAP 2")
