"""What training, fitting and distilling measured, for people; `--json` and metrics.json keep the raw figures."""

from pipelines.association.train import TrainResult
from pipelines.wording import count, number, percent
from vclip.speakers.generator_fit import GeneratorMetrics
from vclip.speakers.signature import SignatureMetrics


def training_in_words(result: TrainResult) -> dict[str, str]:
    """Returns what a training gave, by name."""
    steps = count(result.steps, "step")
    if result.best_step:
        kept = f"step {result.best_step:,} of {result.steps:,}"
    else:
        kept = f"the closed form; {steps} of training gained too little" if result.steps else "the closed form"
    words = {
        "AUC on held-out people": number(result.dev_auc),
        "trained on": f"{count(result.clips, 'clip')} of {count(result.people, 'person', 'people')}",
        "kept": kept,
    }
    if crossed := result.cross_validation:
        words["AUC, cross-validated"] = (
            f"{number(crossed.auc)}, standard deviation {number(crossed.auc_std)} over {len(crossed.folds)} folds"
        )
    return words


def generator_in_words(metrics: GeneratorMetrics) -> dict[str, str]:
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


def signature_in_words(metrics: SignatureMetrics) -> dict[str, str]:
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


def _both(drawn: float, known: float) -> str:
    return f"drawn {number(drawn)}, known {number(known)}"
