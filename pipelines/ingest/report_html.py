"""The report of an ingest run as a page: inputs, kept clips, drop reasons, and the time of each stage."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import yaml

from pipelines.config import Config
from pipelines.extraction.types import outcome_in_words
from pipelines.html.charts import Chart, chart_histogram, chart_over_time
from pipelines.html.page import render, thumbnail

Kinds = Sequence[tuple[str, int, Sequence[Any]]]  # name, count and examples, the most frequent first
EXAMPLES, SHOWN_REASONS = 3, 20


def page(
    result: Mapping[str, Any], config: Config, kept: Sequence[bytes], dropped: Kinds, reasons: Mapping[str, Kinds]
) -> str:
    """The page, as HTML.

    Args:
        result: the run's summary.json.
        config: the run's configuration, for the thresholds.
        kept: JPEG images of clips that were kept.
        dropped: the drop reasons of candidates, with JPEG images.
        reasons: `failed` and `empty` -> the reasons of videos in that state, with URIs.
    """
    return render(
        "ingest_report.html",
        result=result,
        outcomes=_outcomes(result, kept, dropped),
        distributions=_distributions(result["distributions"], config),
        reasons={state: _reasons(kinds) for state, kinds in reasons.items()},
        rarer_reasons={state: max(0, len(kinds) - SHOWN_REASONS) for state, kinds in reasons.items()},
        over_time=_over_time(result),
        configuration=yaml.safe_dump(result["config"], sort_keys=False, width=110) if result["config"] else "",
    )


def _outcomes(result: Mapping[str, Any], kept: Sequence[bytes], dropped: Kinds) -> list[dict[str, Any]]:
    """Each outcome of a candidate: words, count, whether it was kept, and thumbnails."""
    if not result["candidates"]:
        return []
    count = result["candidates"] - sum(number for _, number, _ in dropped)
    rows = [("kept", count, kept, True)]
    rows += [(outcome_in_words(reason), number, images, False) for reason, number, images in dropped]
    return [
        {"words": words, "count": number, "images": [thumbnail(image) for image in images], "kept": is_kept}
        for words, number, images, is_kept in rows
    ]


def _distributions(histograms: Mapping[str, Mapping[str, Any]], config: Config) -> list[Chart]:
    clips, threshold = config.extraction.clips, config.extraction.speaking.threshold
    limits = {
        "face size, px": clips.min_face_px,
        "face quality": clips.min_quality,
        "speech ratio": clips.min_speech_ratio,
        "signal to noise, dB": clips.min_snr_db,
        "clip length, s": clips.min_s,
        "active speaker score of clips": threshold,
        "active speaker score of dropped candidates": threshold,
    }
    return [
        chart_histogram(name, values["edges"], values["counts"], values["p50"], limits.get(name))
        for name, values in histograms.items()
    ]


def _reasons(kinds: Kinds) -> list[tuple[int, str, str]]:
    return [
        (count, reason, ", ".join(PurePosixPath(uri).name for uri in uris[:EXAMPLES]))
        for reason, count, uris in kinds[:SHOWN_REASONS]
    ]


def _over_time(result: Mapping[str, Any]) -> list[Chart]:
    video_s, videos = result["video_s_over_time"], result["videos_over_time"]
    return [
        chart_over_time("Seconds of video per minute", video_s["sums"], video_s["bin_s"], "s/min"),
        chart_over_time("Videos per minute", videos["sums"], videos["bin_s"], "videos/min"),
    ]
