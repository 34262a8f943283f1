"""The report of an evaluation as a page: verification, matching, retrieval, and how they were measured."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.html.page import render
from vclip.association.subgroups import UNRESTRICTED

DIRECTIONS = {"v2f": "voice to face", "f2v": "face to voice"}
_CAPTIONS = {
    "roc": "ROC curves: share of true pairs accepted against share of false pairs accepted",
    "scores": "Score distributions of faces and voices of one person, and of two people",
    "matching": "Accuracy of choosing the true one of N; the band is the 95% interval",
}


def page(result: Mapping[str, Any], plots: Mapping[str, Path]) -> str:
    """The page, as HTML.

    Args:
        result: evaluation.json.
        plots: roc, scores, matching -> the PNG files, which the page embeds.
    """
    all_trials = "subgroups" in result
    whole = result["subgroups"][UNRESTRICTED] if all_trials else result
    return render(
        "evaluation.html",
        result=result,
        whole=whole,
        all_trials=all_trials,
        subgroups=result.get("subgroups") or {"trial list": result},
        directions=DIRECTIONS,
        plots=[(plots[name].read_bytes(), caption) for name, caption in _CAPTIONS.items() if name in plots],
        made_by=result.get("made_by", {}),
        inputs=json.dumps(result.get("made_by", {}), indent=2),
    )
