"""`vclip card`: a dataset card, in Markdown for a repository and in HTML for a reader.

It says what the store itself tells: counts, labels and how many are unknown, licences and consents, encoders, and the
runs with their configurations. What only people know, it asks for in words that stand out: TO FILL IN.
"""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.analysis.stats import counted
from pipelines.extraction.drop_reasons import in_words
from pipelines.files.whole import whole_file
from pipelines.html.charts import duration
from pipelines.html.page import document
from pipelines.html.page import table as markup_table
from stores import Snapshot, Store
from stores.schema import EMBEDDED, spaces_of

Part = str | tuple[Sequence[str], Sequence[Mapping[str, Any]]] | dict[str, str]  # text, a table, or title -> code
FILL_IN = "TO FILL IN"
SHOWN_RUNS, SHOWN_REASONS = 50, 10
_STYLE = """
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; overflow-x: auto;
      font-size: .82rem }
summary { cursor: pointer; color: var(--accent) } table { margin: .8rem 0 } td { font-size: .92rem }
mark { background: var(--warn); color: inherit; border: 1px solid var(--warn-line); padding: 0 .3rem;
       border-radius: .25rem }
"""
LIMITS = (
    "Who is visible is decided by lip motion against speech, or taken from whoever made the pairs: a dubbed talking "
    "face mostly passes as a speaker.",
    "A label counts as known where a manifest gave it. None was estimated from a face or a voice, and nobody checked "
    "them here.",
    "People without a name may be there several times, under no name. `vclip clusters` finds likely ones.",
    "Faces and voices are biometric data. They can identify people, and a licence of a video is not the consent of "
    "who is seen in it.",
    "Voices that a model matches to faces share their gender and age at most. Do not use it to say who somebody is.",
)


def card(store_uri: str, out: Path) -> dict[str, Any]:
    """Writes README.md and card.html to a folder and returns their paths and the figures.

    Args:
        store_uri: the store.
        out: the folder; made if it is missing.

    Raises:
        InputError, StoreError: no store, or the folder cannot be written.
    """
    snapshot = Store.open(store_uri).snapshot()
    figures = counted(snapshot)
    sections = _sections(snapshot, figures)
    name = store_uri.rstrip("/").rsplit("/", 1)[-1]
    title = f"Dataset card: {name}"
    with whole_file(out / "README.md") as part:
        part.write_text(_markdown(title, sections), encoding="utf-8")
    with whole_file(out / "card.html") as part:
        part.write_text(_page(title, store_uri, sections), encoding="utf-8")
    return {"store": store_uri, "files": [str(out / "README.md"), str(out / "card.html")], **figures}


def _sections(snapshot: Snapshot, figures: Mapping[str, Any]) -> dict[str, list[Part]]:
    return {
        "What it is": _what(figures),
        "What may be done with it": _rights(figures),
        "What is in it": _counts(figures),
        "What is known of the clips": _labels(figures),
        "Splits": [_splits(figures)],
        "How it was made": _made(snapshot, figures),
        "Limits": [*LIMITS, f"{FILL_IN}: whom the videos show and whom they leave out, and why they were chosen."],
    }


def _what(figures: Mapping[str, Any]) -> list[Part]:
    videos, clips = figures["videos"], figures["clips"]
    return [
        f"Face crops and speech of people visibly speaking: {clips['count']:,} clips ({duration(clips['seconds'])}) "
        f"of {videos['count']:,} inputs ({duration(videos['duration_s'])}), with embeddings of each. The store is at "
        f"version {', '.join(f'{name} {number}' for name, number in figures['version'].items())}.",
        f"{FILL_IN}: where the inputs come from, who collected them, when, and for what.",
    ]


def _rights(figures: Mapping[str, Any]) -> list[Part]:
    parts: list[Part] = []
    for name, question in (
        ("licence", "under which terms the videos may be used"),
        ("consent", "whether the people seen and heard agreed, and to what"),
    ):
        found, clips = figures["labels"][name], figures["clips"]["count"]
        parts.append(
            f"{name.capitalize()}: known of {found['known']:,} of {clips:,} clips, unknown of {found['unknown']:,}."
        )
        if found["values"]:
            parts.append(
                ((name, "clips"), [{name: value, "clips": count} for value, count in found["values"].items()])
            )
        if found["unknown"] or not clips:
            parts.append(f"{FILL_IN}: {question}.")
    return parts


def _counts(figures: Mapping[str, Any]) -> list[Part]:
    people, videos = figures["people"], figures["videos"]
    rows = [{"rows of": state, "count": count} for state, count in videos["states"].items()]
    rows = [{"rows of": f"videos, {row['rows of']}", "count": row["count"]} for row in rows]
    rows += [{"rows of": "clips", "count": figures["clips"]["count"]}]
    rows += [{"rows of": name, "count": count} for name, count in figures["rows"].items()]
    named = f"{people['count']:,} people are named, in {people['clips']:,} clips"
    if people["count"]:
        named += f" ({people['clips_median']:g} clips of one in the middle, {people['clips_most']:,} at most)"
    copies = sum(figures["identical_vectors"].values())
    measures = [
        {
            "measure": name,
            "5 %": f"{m['p5']:.3g}",
            "median": f"{m['p50']:.3g}",
            "95 %": f"{m['p95']:.3g}",
            "unknown": m["unknown"],
        }
        for name, m in figures["measures"].items()
        if m["count"]
    ]
    return [
        (("rows of", "count"), rows),
        f"{named}; {people['clips_of_unknown']:,} clips name nobody.",
        f"{figures['duplicates']['videos_with_several_names']:,} inputs came under several names and are there once. "
        f"{copies:,} faces and voices have the very vector of another one.",
        (("measure", "5 %", "median", "95 %", "unknown"), measures),
    ]


def _labels(figures: Mapping[str, Any]) -> list[Part]:
    rows = [
        {
            "label": name,
            "known": found["known"],
            "unknown": found["unknown"],
            "most frequent": ", ".join(f"{value} ({count:,})" for value, count in list(found["values"].items())[:6])
            or "–",
        }
        for name, found in figures["labels"].items()
    ]
    return [(("label", "known", "unknown", "most frequent"), rows)]


def _splits(figures: Mapping[str, Any]) -> Part:
    rows = [{"split": name or "none given", **counts} for name, counts in figures["splits"].items()]
    return ("split", "clips", "people"), rows


def _made(snapshot: Snapshot, figures: Mapping[str, Any]) -> list[Part]:
    encoders = [
        {"of": table, "space (encoder, weights, crop)": space, "dimension": dim}
        for table in EMBEDDED
        for space, dim in spaces_of(snapshot.schema(table)).items()
    ]
    drops = {
        name.removeprefix("drop:"): count for name, count in figures["funnel"].items() if name.startswith("drop:")
    }
    dropped = [
        {"dropped because": in_words(why), "times": count}
        for why, count in sorted(drops.items(), key=lambda i: -i[1])
    ]
    reasons = [
        {"state": state, "reason": reason, "videos": count}
        for state, kinds in figures["videos"]["reasons"].items()
        for reason, count in list(kinds.items())[:SHOWN_REASONS]
    ]
    parts: list[Part] = [(("of", "space (encoder, weights, crop)", "dimension"), encoders)]
    parts += [(tuple(rows[0]), rows) for rows in (dropped, reasons) if rows]
    runs = snapshot.query("runs", order="-started_at", limit=SHOWN_RUNS).to_pylist()
    if not runs:
        parts.append("The store does not say by which jobs it was made.")
    for run in runs:
        command = json.loads(run["command"])
        about = {"command": command, "config": json.loads(run["config"])}
        title = f"{command.get('job', 'job')} of {run['started_at']:%Y-%m-%d %H:%M} UTC, run {run['run_id']}"
        parts.append({title: yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=100)})
    return parts


def _markdown(title: str, sections: Mapping[str, Sequence[Part]]) -> str:
    lines = [f"# {title}"]
    for heading, parts in sections.items():
        lines.append(f"## {heading}")
        for part in parts:
            if isinstance(part, str):
                lines.append(part.replace(FILL_IN, f"**{FILL_IN}**"))
            elif isinstance(part, dict):
                lines += [
                    f"<details><summary>{html.escape(name)}</summary>\n\n```yaml\n{text}```\n\n</details>"
                    for name, text in part.items()
                ]
            elif part[1]:
                lines.append(_markdown_table(*part))
    return "\n\n".join(lines) + "\n"


def _markdown_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    def cell(value: Any) -> str:
        return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|").replace("\n", " ")

    head = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([*head, *(f"| {' | '.join(cell(row[name]) for name in columns)} |" for row in rows)])


def _page(title: str, store_uri: str, sections: Mapping[str, Sequence[Part]]) -> str:
    body = "".join(
        f"<h2>{html.escape(heading)}</h2>{''.join(map(_markup, parts))}" for heading, parts in sections.items()
    )
    return document(title, f"Store {store_uri}.", body, _STYLE)


def _markup(part: Part) -> str:
    if isinstance(part, str):
        return f"<p>{html.escape(part).replace(FILL_IN, f'<mark>{FILL_IN}</mark>')}</p>"
    if isinstance(part, dict):
        return "".join(
            f"<details><summary>{html.escape(name)}</summary><pre>{html.escape(text)}</pre></details>"
            for name, text in part.items()
        )
    return markup_table(*part) if part[1] else ""
