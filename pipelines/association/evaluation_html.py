"""The report of an evaluation as a page: one HTML file, to be opened from disk or sent to a colleague."""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.html.page import card, data_uri, document, section, tiles
from vclip.association.subgroups import UNRESTRICTED

_STYLE = """
.plot { background: #fff; border-radius: .4rem } td small { color: var(--faint); white-space: nowrap }
td, th { font-variant-numeric: tabular-nums } td.number, th.number { text-align: right }
.scroll { overflow-x: auto } .row.plots { grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)) }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; overflow-x: auto;
      font-size: .82rem } summary { cursor: pointer; color: var(--accent) } details { margin-top: 1rem }
"""
DIRECTIONS = {"v2f": "the face of a voice", "f2v": "the voice of a face"}
_CAPTIONS = {
    "roc": "ROC curves: how many true pairs are found, against how many false ones are taken for true",
    "scores": "How the scores of one person's faces and voices, and of two people's, are spread",
    "matching": "How often the true one of N is chosen; the band is the 95 % interval",
}
SEEN = (
    '<p class="note"><b>These people had a part in the model\'s training.</b> The figures say what it remembers, not '
    "how it judges strangers.</p>"
)


def page(result: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """Returns the whole page.

    Args:
        result: evaluation.json.
        pictures: roc, scores, matching -> markup of the picture.
    """
    plots = "".join(card(pictures[name], caption) for name, caption in _CAPTIONS.items() if name in pictures)
    body = [
        SEEN if result["seen"] else "",
        _tiles(result),
        section("Verification", _verification(result)),
        section("Curves", f'<div class="row plots">{plots}</div>' if plots else ""),
        section("Matching: one of N", _matching(_whole(result)["matching"])),
        section("Retrieval", _retrieval(result)),
        section("How it was measured", _method(result)),
    ]
    made_by = result.get("made_by", {})
    lead = f"Model {made_by.get('model', '?')}, on {made_by.get('trials_file') or made_by.get('store', '?')}."
    return document("Evaluation: do voices find their faces?", lead, "".join(body), _STYLE)


def picture(path: Path) -> str:
    """Returns a PNG as markup that holds it."""
    return f'<img class="plot" src="{data_uri(path.read_bytes(), "image/png")}" alt="">'


def _whole(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result["subgroups"][UNRESTRICTED] if "subgroups" in result else result


def _tiles(result: Mapping[str, Any]) -> str:
    whole = _whole(result)
    shown = []
    if whole["verification"]:
        shown.append((_number(whole["verification"]["auc"]), "AUC, " + _between(whole["verification"]["auc"])))
        shown.append((_number(whole["verification"]["eer"]), "equal error rate"))
    if result.get("auc_same_gender") is not None:
        shown.append((f"{result['auc_same_gender']:.3f}", "AUC within one gender"))
    for direction, words in DIRECTIONS.items():
        if whole["matching"] and "1:2" in whole["matching"][direction]:
            shown.append((_number(whole["matching"][direction]["1:2"]), f"{words}, one of two"))
    what = "clips" if "clips" in result else "trials"
    shown.append((f"{result['people']:,}", f"people, {result[what]:,} {what}"))
    return tiles(shown)


def _verification(result: Mapping[str, Any]) -> str:
    subgroups = result.get("subgroups") or {"listed trials": result}
    rows = []
    for name, subgroup in subgroups.items():
        found = subgroup["verification"]
        if found:
            match = [(subgroup["matching"] or {}).get(direction, {}).get("1:2") for direction in DIRECTIONS]
            cells = [_figure(found["auc"]), _figure(found["eer"]), *map(_figure, match)]
            counts = (f"{found[kind]:,}" for kind in ("positives", "negatives"))
            rows.append((name, *cells, *counts))
    if not rows:
        return ""
    head = ("trials within", "AUC", "EER", "1:2, face of a voice", "1:2, voice of a face", "one person", "two people")
    missing = ", ".join(f"{name} ({why})" for name, why in result.get("missing", {}).items())
    said = f'<p class="faint">Not measured: {html.escape(missing)}.</p>' if missing else ""
    return _table(head, rows) + said


def _matching(matching: Mapping[str, Mapping[str, Any]] | None) -> str:
    if not matching or not matching["v2f"]:
        return ""
    rows = [
        (name, *(_figure(matching[direction].get(name)) for direction in DIRECTIONS), f"{1 / int(name[2:]):.3f}")
        for name in matching["v2f"]
    ]
    return _table(("", *DIRECTIONS.values(), "chance"), rows)


def _retrieval(result: Mapping[str, Any]) -> str:
    found = result["retrieval"]
    if not found:
        return ""
    chance = result.get("retrieval_chance")
    rows = []
    for name in found["v2f"]:
        row = ["mean average precision" if name == "map" else name.upper()]
        row += [_figure(found[direction][name]) for direction in DIRECTIONS]
        rows.append((*row, f"{chance['v2f'][name]:.4f}" if chance else "–"))
    return _table(("", *DIRECTIONS.values(), "chance"), rows)


def _method(result: Mapping[str, Any]) -> str:
    said = [f"Intervals hold 95 % of {result['draws']} draws of people (seed {result['seed']})."]
    if "subgroups" in result:
        said.append("All faces with all voices; matching and retrieval are expectations over every choice of others.")
        if result["of_clips"] > result["clips"]:
            said.append(f"Of {result['of_clips']:,} clips {result['clips']:,} were drawn, by whole people.")
    elif result["left_out"]:
        said.append(f"{result['left_out']:,} trials lack a vector: {result['without_vectors']}.")
    if result["cohort_clips"]:
        said.append(f"Scores are normalised against {result['cohort_clips']:,} clips of others.")
    text = html.escape(" ".join(said))
    made_by = html.escape(json.dumps(result.get("made_by", {}), indent=2))
    return f'<p class="faint">{text}</p><details><summary>Inputs</summary><pre>{made_by}</pre></details>'


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Cells are markup; all but the first column are numbers."""
    head = "".join(f'<th class="number">{html.escape(name)}</th>' for name in columns[1:])
    lines = (f"<td>{row[0]}</td>" + "".join(f'<td class="number">{cell}</td>' for cell in row[1:]) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table><tr><th>{html.escape(columns[0])}</th>{head}</tr>{body}</table></div>'


def _number(figure: Mapping[str, float | None]) -> str:
    return "–" if figure["value"] is None else f"{figure['value']:.3f}"


def _between(figure: Mapping[str, float | None]) -> str:
    return "" if figure["low"] is None else f"{figure['low']:.3f} to {figure['high']:.3f}"


def _figure(figure: Mapping[str, float | None] | None) -> str:
    return "–" if figure is None else f"{_number(figure)}<br><small>{_between(figure)}</small>"
