"""Outliers as a contact sheet: faces to look at with voices to hear, the least suited first."""

import html
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pipelines.analysis.clip_media import media_of
from pipelines.charts import STYLE, histogram
from pipelines.markup import data_uri, document, section, tiles
from pipelines.tally import Histogram, evenly
from pipelines.thumbnails import thumbnail
from stores import Snapshot

if TYPE_CHECKING:
    from pipelines.analysis.outliers import Suited

FACE_PX = 144
_STYLE = (
    STYLE
    + """
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: 1rem }
.sheet img { width: 144px; height: 144px; border-radius: .4rem } .sheet audio { width: 100%; margin: .5rem 0 }
.sheet p { margin: 0; overflow-wrap: anywhere } .curves { max-width: 26rem }
"""
)


def page(snapshot: Snapshot, shown: Sequence[Mapping[str, Any]], result: Mapping[str, Any], suited: "Suited") -> str:
    """Returns the whole page.

    Args:
        snapshot: where the media are.
        shown: the clips with their figures, the least suited first.
        result: outliers.json.
        suited: of all clips.
    """
    media = {
        item.clip["clip_id"]: (thumbnail(item.face["image"], FACE_PX), item.voice["audio"])
        for item in media_of(snapshot, [row["clip_id"] for row in shown])
    }
    spread = Histogram(evenly(0, 1, 20))
    spread.add_all(suited.percentile)
    said = (
        '<p class="faint">The percentile is the share of other people that suit less well. Pairs of strangers would '
        "fill this picture evenly; true ones stand on the right. Most of what a model knows is gender, so most of "
        "what it finds is a voice of the other one. What is here is to be looked at, not to be deleted.</p>"
    )
    cards = "".join(_card(row, *media[row["clip_id"]]) for row in shown)
    body = [
        _seen(result),
        _tiles(result),
        section("All clips", f'{said}<div class="curves">{histogram("percentile", spread)}</div>'),
        section("The least suited", f'<div class="sheet">{cards}</div>'),
    ]
    lead = f"Store {result['store']}, by model {result['model']}."
    return document("Do face and voice belong together?", lead, "".join(body), _STYLE)


def _seen(result: Mapping[str, Any]) -> str:
    if not result["seen_in_training"]:
        return ""
    return (
        f'<p class="note"><b>{result["seen_in_training"]:,} of {result["clips"]:,} clips had a part in the model\'s '
        "training.</b> It may have learned their mistakes by heart; a model of other people sees them better.</p>"
    )


def _tiles(result: Mapping[str, Any]) -> str:
    shown = [
        (f"{result['clips']:,}", "clips"),
        (f"{result['percentile_median']:.2f}", "percentile in the middle"),
        (f"{result['below_half_of_the_strangers']:,}", "suit less well than half of the strangers"),
    ]
    return tiles(shown)


def _card(row: Mapping[str, Any], face: bytes, audio: bytes) -> str:
    image = f'<img src="{data_uri(face, "image/jpeg")}" alt="">' if face else ""
    sound = f'<audio controls preload="none" src="{data_uri(audio, "audio/flac")}"></audio>' if audio else ""
    where = f"{PurePosixPath(row['video_uri']).name}, {row['start_s']:.1f} to {row['end_s']:.1f} s"
    seen = ", seen in training" if row["seen"] else ""
    return (
        f'<div class="card">{image}{sound}<p><b>{row["percentile"]:.1%}</b> <span class="faint">percentile, score '
        f"{row['score']:.2f}{seen}</span></p><p>{html.escape(row['identity'] or 'nobody named')}</p>"
        f'<p class="faint">{html.escape(where)}</p></div>'
    )
