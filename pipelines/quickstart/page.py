"""The quickstart's page: faces, figures and voices in one HTML file that needs no network, and no other file beside
the ingest report that it links to."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.html.page import render
from pipelines.ingest.job import Summary
from stores import Store
from stores.best import best_of_each
from vclip.files import write_text

MAX_FACES = 80
REPORT = "report/report.html"  # of the ingest, beside the page
ACTIVATE = Path(sys.prefix) / "bin" / "activate"  # of a virtual environment, as `make quickstart` makes one


def write_page(
    out: Path,
    store_uri: str,
    photo: Path,
    *,
    summary: Summary,
    skipped: str,
    speech: Sequence[Mapping[str, Any]],
    steps: Sequence[Any],
    synthetic: bool,
    average: Mapping[str, Any],
) -> Path:
    """Writes `out`/index.html and returns its path.

    Args:
        out: the quickstart's folder, which holds the plots.
        store_uri: the store whose faces are shown.
        photo: the photo that the voices were generated for.
        summary: of the ingest.
        skipped: why there is no cross-validation; empty if there is one.
        speech: the sidecars of the generated files, with `above`: the share of random voices that suit the face less.
        steps: each with step, result and seconds.
        synthetic: whether the videos are the synthetic sample.
        average: the sidecar of speech in a voice drawn for nobody, to compare with.
    """
    faces = _best_faces(store_uri)
    page = render(
        "quickstart.html",
        out=out,
        activate=os.path.relpath(ACTIVATE) if ACTIVATE.is_file() else "",
        synthetic=synthetic,
        steps=steps,
        report=REPORT if (out / REPORT).is_file() else "",
        faces=faces[:MAX_FACES],
        clips=len(faces),
        reasons=[(count, reason) for reason, count in summary.reasons.most_common()],
        skipped=skipped,
        roc=b"" if skipped else (out / "evaluation" / "roc.png").read_bytes(),
        training=(out / "model" / "training.png").read_bytes(),
        photo=photo.read_bytes(),
        photo_path=photo,
        photo_type="image/png" if photo.suffix.lower() == ".png" else "image/jpeg",
        speech=[_with_content(row) for row in speech],
        average=_with_content(average),
    )
    path = out / "index.html"
    write_text(path, page)
    return path


def _with_content(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    return {**sidecar, "content": Path(sidecar["wav"]).read_bytes()}


def _best_faces(store_uri: str) -> list[bytes]:
    """The JPEG image of the best face of each clip, the best first."""
    rows = Store.open(store_uri).query("faces", ["clip_id", "face_id", "quality", "image"])
    return best_of_each(rows, "faces").sort_by([("quality", "descending")])["image"].to_pylist()
