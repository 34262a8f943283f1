"""The quickstart's page: one HTML file with everything in it, to be opened from disk or sent to a colleague."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.html.page import card, data_uri, document, section, table
from pipelines.ingest.job import Summary
from stores import Store

MAX_FACES = 80

_STYLE = """
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)); gap: .4rem }
.faces img { width: 100%; border-radius: .4rem; display: block }
.plot { background: #fff; border-radius: .4rem } audio { width: 100%; margin-top: .5rem }
"""


def write_page(
    out: Path,
    store_uri: str,
    photo: Path,
    summary: Summary,
    evaluation: Mapping[str, Any],
    speech: Sequence[Mapping[str, Any]],
    steps: Sequence[Mapping[str, Any]],
    synthetic: bool,
) -> Path:
    """Writes `out`/index.html and returns its path.

    Args:
        out: the quickstart's folder; plots are taken from it.
        store_uri: the faces found come from here.
        photo: what the voices were made for.
        summary: of the ingest.
        evaluation: the model's metrics, with its cross-validation.
        speech: the sidecars of the generated files.
        steps: step, result and seconds of each step.
        synthetic: whether the videos are the made-up sample.
    """
    note = (
        '<p class="note"><b>This sample is synthetic.</b> One public-domain portrait was warped and re-coloured into '
        "made-up people, and their voices were made from one synthetic voice. Face and voice were tied together on "
        "purpose, so the figures say that the software works, and nothing about real people.</p>"
        if synthetic
        else ""
    )
    sections = [
        section("What was done", table(["step", "result", "seconds"], steps)),
        section("Faces found", _faces(store_uri)),
        section("Why videos gave nothing", _reasons(summary)),
        section(
            "Does a voice suit a face?",
            '<div class="row">'
            + _evaluation(out, evaluation)
            + card(
                _image(out / "model" / "training.png"), "Training: loss, and AUC on the people held out to stop it"
            )
            + "</div>",
        ),
        section("Voices for this face", _voices(photo, speech)),
    ]
    page = out / "index.html"
    lead = "From videos of people talking to speech in voices that suit a face."
    page.write_text(document("Vclip quickstart", lead, note + "".join(sections), _STYLE), encoding="utf-8")
    return page


def _faces(store_uri: str) -> str:
    rows = Store.open(store_uri).query("faces", ["clip_id", "quality", "image"], order="-quality").to_pylist()
    best: dict[str, bytes] = {}
    for row in rows:
        best.setdefault(row["clip_id"], row["image"])
    images = [f'<img src="{data_uri(image, "image/jpeg")}" alt="">' for image in list(best.values())[:MAX_FACES]]
    shown = f" ({MAX_FACES} shown)" if len(best) > MAX_FACES else ""
    caption = f'<p class="faint">The best crop of each of {len(best)} clips{shown}.</p>'
    return f'{caption}<div class="faces">{"".join(images)}</div>'


def _reasons(summary: Summary) -> str:
    rows = [{"reason": reason, "videos": count} for reason, count in summary.reasons.most_common()]
    return table(["reason", "videos"], rows) if rows else ""


def _voices(photo: Path, speech: Sequence[Mapping[str, Any]]) -> str:
    kind = "image/png" if photo.suffix.lower() == ".png" else "image/jpeg"
    cards = [f'<div class="card"><img src="{data_uri(photo.read_bytes(), kind)}" alt="the face"></div>']
    for row in speech:
        audio = data_uri(Path(row["wav"]).read_bytes(), "audio/wav")
        cards.append(
            f'<div class="card"><b>Voice {row["voice"]}</b> <span class="faint">score {row["score"]:.2f}</span>'
            f'<audio controls src="{audio}"></audio><p class="faint">“{html.escape(row["text"])}”</p></div>'
        )
    notice = speech[0]["notice"] if speech else ""
    return f'<div class="row">{"".join(cards)}</div><p class="faint">{html.escape(notice)}</p>'


def _evaluation(out: Path, evaluation: Mapping[str, Any]) -> str:
    if "skipped" in evaluation:
        return card("", evaluation["skipped"])
    return card(_image(out / "evaluation" / "roc.png"), "Faces against voices of unseen people, by cross-validation")


def _image(path: Path) -> str:
    return f'<img class="plot" src="{data_uri(path.read_bytes(), "image/png")}" alt="">'
