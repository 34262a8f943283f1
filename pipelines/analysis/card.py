"""`vclip card`: a dataset card, as Markdown for a repository on the Hugging Face Hub and as HTML for readers.

The card states what the store records: counts, labels and how many are unknown, licences and consent, encoders, and
the runs with their configurations. Fields that only people can fill in are marked TO FILL IN.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.analysis.hugging_face import front_matter, split_files
from pipelines.analysis.stats import StoreStatistics, statistics_of
from pipelines.cluster.derived import record_derived
from pipelines.html.page import render
from pipelines.wording import count, number, seconds
from stores import Snapshot, Store
from stores.schema import EMBEDDED, spaces_of
from vclip.files import write_text

SHOWN_RUNS, SHOWN_REASONS, SHOWN_VALUES = 50, 10, 6
LIMITS = (
    "Active speakers were detected from lip motion and speech, or were given with imported pairs. A dubbed face "
    "usually passes as the speaker.",
    "Known labels come from a manifest. None was estimated from a face or a voice, and none was verified.",
    "People without an identity may appear in several clips. `vclip clusters` suggests which clips belong together.",
    "Faces and voices are biometric data and can identify people. The licence of a video does not include the "
    "consent of the people in it.",
    "A voice that a model matches to a face shares at most its gender and age. Do not use it to identify anyone.",
)


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class ToFillIn:
    """A question that only people can answer."""

    question: str


@dataclass(frozen=True)
class Rows:
    """A table."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Code:
    """YAML under a title that opens it."""

    title: str
    text: str


Part = Text | ToFillIn | Rows | Code


@dataclass(frozen=True)
class CardResult:
    """The files of a dataset card, and the statistics in it."""

    files: list[str]
    statistics: StoreStatistics

    def to_json(self) -> dict[str, Any]:
        """Store, files and statistics as one object."""
        statistics = asdict(self.statistics)
        return {"store": statistics.pop("store"), "files": self.files, **statistics}


def card(store_uri: str, out: Path) -> CardResult:
    """Writes README.md and card.html.

    Args:
        store_uri: the store.
        out: the folder, which is created if missing.

    Raises:
        InputError, StoreError: no store, or the folder cannot be written.
    """
    snapshot = Store.open(store_uri).snapshot()
    statistics = statistics_of(snapshot, store_uri)
    sections = _sections(snapshot, statistics)
    name = store_uri.rstrip("/").rsplit("/", 1)[-1]
    files = {"README.md": "card.md", "card.html": "card.html"}
    head = front_matter(
        statistics.clips.count,
        split_files(statistics.splits),
        _values(statistics, "licence"),
        _values(statistics, "language"),
    )
    for file, template in files.items():
        write_text(out / file, render(template, name=name, store=store_uri, sections=sections, front_matter=head))
    record_derived(store_uri, "card", out)
    return CardResult([str(out / file) for file in files], statistics)


def _sections(snapshot: Snapshot, statistics: StoreStatistics) -> dict[str, list[Part]]:
    """Heading -> parts, for both templates."""
    limits: list[Part] = [Text(limit) for limit in LIMITS]
    return {
        "Summary": _summary(statistics),
        "Terms of use": _rights(statistics),
        "Contents": _contents(statistics),
        "Labels of the clips": [_labels(statistics)],
        "Splits": [_splits(statistics)],
        "How it was made": _provenance(snapshot, statistics),
        "Limits": [
            *limits,
            ToFillIn("who appears in the videos and who does not, and why these videos were chosen."),
        ],
    }


def _values(statistics: StoreStatistics, label: str) -> list[str | None]:
    """The values of a label, with None if some clips have none."""
    found = statistics.labels[label]
    return [*found.values, *([None] if found.unknown else [])]


def _summary(statistics: StoreStatistics) -> list[Part]:
    videos, clips = statistics.videos, statistics.clips
    version = ", ".join(f"{table} {number}" for table, number in statistics.version.items())
    return [
        Text(
            f"Face crops and speech of people visibly speaking: {count(clips.count, 'clip')} "
            f"({seconds(clips.seconds)}) from {count(videos.count, 'video')} ({seconds(videos.duration_s)}), with "
            f"embeddings of each. Versions of the store's tables: {version}."
        ),
        ToFillIn("where the videos come from, and who collected them, when and for what purpose."),
    ]


def _rights(statistics: StoreStatistics) -> list[Part]:
    parts: list[Part] = []
    clips = statistics.clips.count
    for name, question in (
        ("licence", "the terms under which the videos may be used."),
        ("consent", "whether the people in the videos gave consent, and to what."),
    ):
        label = statistics.labels[name]
        known = f"known for {label.known:,} of {count(clips, 'clip')}" if label.known else "unknown for every clip"
        parts.append(Text(f"{name.capitalize()}: {known}."))
        if label.values:
            parts.append(Rows((name, "clips"), list(label.values.items())))
        if label.unknown or not clips:
            parts.append(ToFillIn(question))
    return parts


def _contents(statistics: StoreStatistics) -> list[Part]:
    people, duplicates = statistics.people, statistics.duplicates.videos_with_several_names
    rows = [(f"videos, {state}", count) for state, count in statistics.videos.states.items()]
    rows += [("clips", statistics.clips.count), *statistics.rows.items()]
    named = "No clip has an identity."
    if people.count and people.clips_median and people.clips_most:
        named = (
            f"{count(people.count, 'person', 'people')} named in {count(people.clips, 'clip')} (median "
            f"{number(people.clips_median)} per person, at most {people.clips_most:,}); "
            f"{count(people.clips_of_unknown, 'clip')} without an identity."
        )
    copies = sum(statistics.identical_vectors.values())
    stored = f"{count(duplicates, 'video')} found under several names and stored once. " if duplicates else ""
    same = f"{count(copies, 'row')} of faces and voices with exactly the vector of another row." if copies else ""
    measures = [
        (name, *measure.quantiles, measure.unknown) for name, measure in statistics.measures.items() if measure.count
    ]
    return [
        Rows(("rows of", "count"), rows),
        Text(named),
        Text(f"{stored}{same}" or "No video was found under two names, and no two rows have the same vector."),
        Rows(("measure", "5%", "median", "95%", "unknown"), measures),
    ]


def _labels(statistics: StoreStatistics) -> Part:
    rows = []
    for name, label in statistics.labels.items():
        most = ", ".join(f"{value} ({clips:,})" for value, clips in list(label.values.items())[:SHOWN_VALUES])
        rows.append((name, label.known, label.unknown, most or "–"))
    return Rows(("label", "known", "unknown", "most frequent"), rows)


def _splits(statistics: StoreStatistics) -> Part:
    if not any(statistics.splits):
        return Text("No clip is assigned to a split.")
    rows = [(name or "none", split.clips, split.people) for name, split in statistics.splits.items()]
    return Rows(("split", "clips", "people"), rows)


def _provenance(snapshot: Snapshot, statistics: StoreStatistics) -> list[Part]:
    encoders = [(table, space, dim) for table in EMBEDDED for space, dim in spaces_of(snapshot.schema(table)).items()]
    dropped = [(reason, times) for times, reason in statistics.drops]
    reasons = [
        (state, reason, videos)
        for state, kinds in statistics.videos.reasons.items()
        for reason, videos in list(kinds.items())[:SHOWN_REASONS]
    ]
    parts: list[Part] = [
        Rows(("table", "space (encoder, weights, crop)", "dimension"), encoders),
        Rows(("drop reason", "candidates"), dropped),
        Rows(("state", "reason", "videos"), reasons),
    ]
    runs = snapshot.query("runs", order="-started_at", limit=SHOWN_RUNS).to_pylist()
    if not runs:
        parts.append(Text("The store does not record which jobs made it."))
    for run in runs:
        command = {name: value for name, value in json.loads(run["command"]).items() if name != "plan"}
        title = f"{command.get('job', 'job')} of {run['started_at']:%Y-%m-%d %H:%M} UTC, run {run['run_id']}"
        about = {"command": command, "config": json.loads(run["config"])}
        parts.append(Code(title, yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=100)))
    return [part for part in parts if not isinstance(part, Rows) or part.rows]
