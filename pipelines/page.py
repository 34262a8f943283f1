"""The quickstart's page: one HTML file with everything in it, to be opened from disk or sent to a colleague."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.ingest import Summary
from stores import Store

MAX_FACES = 80

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --faint: #66788a; --line: #d9e2ec; --card: #ffffff; --page: #f5f7fa;
        --accent: #2f6f9f; --warn: #fff8e6; --warn-line: #f0c36d }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --faint: #9aa5b1; --line: #3e4c59; --card: #1f2933;
        --page: #141b22; --accent: #7fb6dd; --warn: #3a3118; --warn-line: #8a6d1f } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.25rem 4rem; background: var(--page); color: var(--ink);
       font: 16px/1.55 system-ui, sans-serif }
h1 { font-size: 1.9rem; margin: 0 } h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem }
p.lead { color: var(--faint); margin: .25rem 0 1.5rem }
.note { background: var(--warn); border: 1px solid var(--warn-line); border-radius: .5rem; padding: .75rem 1rem }
table { border-collapse: collapse; width: 100%; background: var(--card); border-radius: .5rem; overflow: hidden }
th, td { text-align: left; padding: .5rem .75rem; border-bottom: 1px solid var(--line); vertical-align: top }
th { color: var(--faint); font-weight: 600; font-size: .85rem } td.number { text-align: right; white-space: nowrap }
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)); gap: .4rem }
.faces img { width: 100%; border-radius: .4rem; display: block }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem }
.card img { max-width: 100%; display: block; margin: auto }
.plot { background: #fff; border-radius: .4rem } audio { width: 100%; margin-top: .5rem }
.faint { color: var(--faint); font-size: .9rem }
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
        _section("What was done", _table(["step", "result", "seconds"], steps)),
        _section("Faces found", _faces(store_uri)),
        _section("Why videos gave nothing", _reasons(summary)),
        _section(
            "Does a voice suit a face?",
            '<div class="row">'
            + _evaluation(out, evaluation)
            + _card(
                _image(out / "model" / "training.png"), "Training: loss, and AUC on the people held out to stop it"
            )
            + "</div>",
        ),
        _section("Voices for this face", _voices(photo, speech)),
    ]
    body = "".join(sections)
    page = out / "index.html"
    page.write_text(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Vclip quickstart</title><style>{_STYLE}</style><h1>Vclip quickstart</h1>"
        f'<p class="lead">From videos of people talking to speech in voices that suit a face.</p>{note}'
        f"{body}</html>\n",
        encoding="utf-8",
    )
    return page


def _section(title: str, content: str) -> str:
    return f"<h2>{html.escape(title)}</h2>{content}" if content else ""


def _table(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    columns = list(columns)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    lines = []
    for row in rows:
        cells = "".join(
            f'<td class="number">{row[name]:.0f}</td>'
            if isinstance(row[name], int | float)
            else f"<td>{html.escape(str(row[name]))}</td>"
            for name in columns
        )
        lines.append(f"<tr>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _faces(store_uri: str) -> str:
    rows = Store.open(store_uri).query("faces", ["clip_id", "quality", "image"], order="-quality").to_pylist()
    best: dict[str, bytes] = {}
    for row in rows:
        best.setdefault(row["clip_id"], row["image"])
    images = [f'<img src="{_uri(image, "image/jpeg")}" alt="">' for image in list(best.values())[:MAX_FACES]]
    shown = f" ({MAX_FACES} shown)" if len(best) > MAX_FACES else ""
    caption = f'<p class="faint">The best crop of each of {len(best)} clips{shown}.</p>'
    return f'{caption}<div class="faces">{"".join(images)}</div>'


def _reasons(summary: Summary) -> str:
    rows = [{"reason": reason, "videos": count} for reason, count in summary.reasons.most_common()]
    return _table(["reason", "videos"], rows) if rows else ""


def _voices(photo: Path, speech: Sequence[Mapping[str, Any]]) -> str:
    kind = "image/png" if photo.suffix.lower() == ".png" else "image/jpeg"
    cards = [f'<div class="card"><img src="{_uri(photo.read_bytes(), kind)}" alt="the face"></div>']
    for row in speech:
        audio = _uri(Path(row["wav"]).read_bytes(), "audio/wav")
        cards.append(
            f'<div class="card"><b>Voice {row["voice"]}</b> <span class="faint">score {row["score"]:.2f}</span>'
            f'<audio controls src="{audio}"></audio><p class="faint">“{html.escape(row["text"])}”</p></div>'
        )
    notice = speech[0]["notice"] if speech else ""
    return f'<div class="row">{"".join(cards)}</div><p class="faint">{html.escape(notice)}</p>'


def _evaluation(out: Path, evaluation: Mapping[str, Any]) -> str:
    if "skipped" in evaluation:
        return _card("", evaluation["skipped"])
    return _card(_image(out / "evaluation" / "roc.png"), "Faces against voices of unseen people, by cross-validation")


def _card(content: str, caption: str) -> str:
    return f'<div class="card">{content}<p class="faint">{html.escape(caption)}</p></div>'


def _image(path: Path) -> str:
    return f'<img class="plot" src="{_uri(path.read_bytes(), "image/png")}" alt="">'


def _uri(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
