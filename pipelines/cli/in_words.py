"""What commands did and measured, for people; `--json` and the files that they write keep the raw figures."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.cli.output import examples
from pipelines.wording import count, number, percent, seconds, size

if TYPE_CHECKING:
    from pipelines.analysis.clusters import ClustersResult
    from pipelines.analysis.export import ExportResult
    from pipelines.analysis.maps import MapResult
    from pipelines.analysis.outliers import OutliersResult
    from pipelines.association.train import TrainResult
    from pipelines.maintenance.columns import FillResult
    from pipelines.maintenance.dubbed import DubbedResult
    from pipelines.maintenance.optimize import OptimizeResult
    from stores.maintenance.index import IndexReport
    from stores.maintenance.merge import Merged
    from vclip.speakers.generator_fit import GeneratorMetrics
    from vclip.speakers.signature import SignatureMetrics


def training_in_words(result: "TrainResult") -> dict[str, str]:
    """Returns what a training gave, by name."""
    steps = count(result.steps, "step")
    if result.best_step:
        kept = f"step {result.best_step:,} of {result.steps:,}"
    else:
        kept = f"{result.start}; {steps} of training gained too little" if result.steps else result.start
    words = {
        "AUC on held-out people": f"{result.dev_auc:.3f}",
        "trained on": f"{count(result.clips, 'clip')} of {count(result.people, 'person', 'people')}",
        "kept": kept,
    }
    if crossed := result.cross_validation:
        words["AUC, cross-validated"] = (
            f"{crossed.auc:.3f}, standard deviation {crossed.auc_std:.3f} over {len(crossed.folds)} folds"
        )
    return words


def generator_in_words(metrics: "GeneratorMetrics") -> dict[str, str]:
    """Returns how well a speaker generator fits, and what it draws, by name."""
    drawn = metrics.drawn
    words = {
        "known speakers": number(metrics.speakers),
        "mixture": f"{count(metrics.mixture_components, 'component')} over "
        f"{count(metrics.principal_components, 'principal component')} ({metrics.mixture_rule})",
        "log-likelihood of known speakers": f"{number(metrics.log_likelihood_known)}; "
        f"{number(metrics.log_likelihood_held_out)} where left out "
        f"({number(metrics.log_likelihood_held_out_one_component)} with one component)",
        "log-likelihood of drawn speakers": number(drawn.log_likelihood_generated),
        "cosine of two speakers": _both(drawn.alike_generated, drawn.alike_known),
        "cosine with the nearest known speaker": _both(
            drawn.nearest_known_cosine_generated, drawn.nearest_known_cosine_known
        ),
        "near copies of a known speaker": f"{percent(drawn.copies)} of the drawn (1% if nothing is copied)",
    }
    if drawn.gender_kept is not None and drawn.gender_kept_known is not None:
        words["drawn for a gender and nearest to it"] = (
            f"{percent(drawn.gender_kept)}; {percent(drawn.gender_kept_known)} of the known speakers"
        )
    return words


def signature_in_words(metrics: "SignatureMetrics") -> dict[str, str]:
    """Returns how well a TTS signature predicts voices, by name."""
    words = {
        "speakers spoken": f"{metrics.speakers:,}, of which {metrics.held_out_speakers:,} are held out",
        "speakers predicted by the TTS": number(metrics.predicted_speakers) if metrics.predicted_speakers else "",
        "cosine of predicted and spoken voice": number(metrics.cosine_held_out),
        "cosine of the mean voice with it": number(metrics.cosine_mean_voice),
    }
    if metrics.cosine_identity is not None and metrics.gap_closed is not None:
        words["cosine of the requested voice with it"] = number(metrics.cosine_identity)
        words["gap between request and speech closed"] = percent(metrics.gap_closed)
    return {name: value for name, value in words.items() if value}


def models_in_words(models: Any) -> dict[str, Any]:
    """Returns the hash or the name of each model in a provenance record, which anybody may have written."""
    models = models if isinstance(models, Mapping) else {}
    return {name: of.get("sha256", of.get("name")) for name, of in models.items() if isinstance(of, Mapping)}


def clusters_in_words(result: "ClustersResult") -> dict[str, str]:
    """Returns the sizes of clusters and how they were found, by name."""
    compared = {"both": "face and voice", "faces": "face", "voices": "voice"}[result.of]
    return {
        "clips": number(result.clips),
        "clusters": number(result.clusters),
        "clusters of several clips": number(result.of_several_clips),
        "largest cluster": count(result.largest, "clip"),
        "near-duplicate clips": count(result.near_duplicates, "pair"),
        "compared by": f"{compared}, method {result.method}",
        "written to": result.out,
    }


def outliers_in_words(result: "OutliersResult") -> dict[str, str]:
    """Returns how the clips of a store score against mismatched pairs, by name."""
    return {
        "clips": number(result.clips),
        "median percentile": f"{result.percentile_median:.3f} (the share of mismatched pairs that score lower)",
        "below the median of mismatched pairs": count(result.below_half_of_the_strangers, "clip"),
        "of people seen in training": count(result.seen_in_training, "clip") if result.seen_in_training else "",
        "scored by": result.model,
        "written to": result.out,
    }


def map_in_words(result: "MapResult") -> dict[str, str]:
    """Returns what a map shows and where it is, by name."""
    return {
        "image": result.out,
        "its points": result.table,
        "shows": f"the {result.of} of {count(result.clips, 'clip')}, by {result.method.upper()}",
        "axes": "\n".join(result.axes),
    }


def export_in_words(result: "ExportResult") -> dict[str, str]:
    """Returns what was exported, by name."""
    rows = {} if result.rows is None else {"rows": f"{result.rows:,} of {result.table or 'the query'}"}
    clips = ", ".join(f"{clips:,} {name or 'without a split'}" for name, clips in (result.clips or {}).items())
    files = count(len(result.files), "file")
    return {**rows, "clips": clips, "format": result.format, "written to": f"{result.out} ({files})"}


def optimize_in_words(result: "OptimizeResult") -> dict[str, str]:
    """Returns what an optimization merged and freed, by name."""
    merged = "\n".join(f"{table}: {change.replace('->', 'to')}" for table, change in result.fragments.items())
    return {
        "fragments": merged or "nothing to merge",
        "newest version": f"{size(result.bytes['after'])} (before: {size(result.bytes['before'])})",
        "freed": f"{size(result.freed_bytes)} of old versions and merged fragments",
        "left by crashed commits": f"{count(result.swept_rows, 'row')}, removed" if result.swept_rows else "nothing",
        "tags, whose versions stay": ", ".join(result.tags),
    }


def index_in_words(report: "IndexReport") -> dict[str, str]:
    """Returns what was measured of a vector index, by name."""
    return {
        "vectors": f"{report.rows:,} of {report.space}",
        "kind": f"{report.kind}, {count(report.nprobes, 'cell')} a query",
        "recall of the 10 nearest": f"{percent(report.recall_at_10)} in {count(report.queries, 'query', 'queries')}",
        "took": f"{seconds(report.build_s)} to build, {number(report.query_ms)} ms a query (median)",
    }


def merge_in_words(merged: "Merged") -> dict[str, str]:
    """Returns what was done with the videos and other rows of a store that was merged, by name."""
    other = ", ".join(f"{number:,} of {table}" for table, number in merged.rows.items() if number)
    return {
        "videos added": number(merged.added),
        "here already": number(merged.alike) if merged.alike else "",
        "here already under another configuration, left as they are": examples(merged.kept),
        "failed here, replaced": examples(merged.replaced),
        "deleted here on request, not added": examples(merged.deleted),
        "deleted there on request, still here": examples(merged.deleted_there),
        "other rows added": other,
        "columns that are null in the rows added": ", ".join(merged.null),
        "columns of another version, not added": ", ".join(merged.left),
    }


def filled_in_words(result: "FillResult") -> dict[str, str]:
    """Returns how many rows a column function gave values for, by name."""
    return {
        "function": f"{result.function}, version {result.version}",
        "rows filled": number(result.filled),
        "rows without a value": f"{result.unknown:,}, because the function could not tell" if result.unknown else "",
        "rows that failed": number(result.failed) if result.failed else "",
        "took": seconds(result.took_s),
    }


def dubbed_in_words(result: "DubbedResult") -> dict[str, str]:
    """Returns how many clips are probably dubbed, and by what evidence, by name."""
    return {
        "clips": number(result.clips),
        "with evidence of the lips": number(result.with_lips),
        "of the association model": number(result.with_association),
        "of the same person in other videos": number(result.with_other_videos),
        "of people seen in training": number(result.seen_in_training) if result.seen_in_training else "",
        "probably dubbed": f"{number(result.probably_dubbed)} (probability above one half)",
        "version": result.version,
        "took": seconds(result.took_s),
    }


def _both(drawn: float, known: float) -> str:
    return f"drawn {number(drawn)}, known {number(known)}"
