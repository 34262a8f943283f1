"""Fits the speaker generator to known speakers, and measures what it draws.

The principal components keep 99 % of the variance of the known speakers' normal scores. `statistics` measures what
papers on speaker generation report of drawn speakers: whether they are new, diverse and typical (Stanton et al.,
Speaker generation, 2022, section 4).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import Field

from vclip.association.pairs import unit_norm
from vclip.config import Seed, Settings
from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.normal_scores import Marginals, known_scores
from vclip.threads import with_threads_for

MIN_SPEAKERS = 10
FOLDS = 5
COPY_QUANTILE = 0.99


class GeneratorConfig(Settings):
    """How the speaker generator is fitted."""

    variance: float = Field(default=0.99, gt=0, le=1, description="share of the variance that the components keep")
    max_components: int = Field(default=100, ge=1, description="maximum number of mixture components")
    speakers_per_component: int = Field(
        default=20, ge=1, description="one mixture component for this many known speakers"
    )
    seed: Seed = 0


@dataclass(frozen=True)
class DrawStatistics:
    """Drawn speakers, as many as are known, compared with the known ones.

    "Nearest" leaves out the speaker itself. Equal numbers of both are compared, because with more speakers the
    nearest one is nearer.
    """

    log_likelihood_generated: float
    nearest_known_cosine_generated: float  # mean cosine of a drawn speaker with the nearest known one
    nearest_known_cosine_known: float  # the same of a known speaker
    nearest_generated_cosine: float  # mean cosine of a drawn speaker with the nearest other drawn one
    # The share of drawn speakers that are nearer to a known one than 99 % of the known ones are to another; 0.01 if
    # nothing is copied.
    copies: float
    alike_generated: float  # mean cosine between two drawn speakers; equal means are equal diversity
    alike_known: float  # the same between two known speakers
    # The share of speakers drawn for a gender whose nearest known speaker has that gender, mean over the genders;
    # None unless the bank has two genders.
    gender_kept: float | None = None
    gender_kept_known: float | None = None  # the same share of the known speakers, the most that can be expected


@dataclass(frozen=True)
class GeneratorMetrics:
    """How well a generator fits its known speakers, and what it draws."""

    speakers: int  # known ones
    principal_components: int
    mixture_components: int
    mixture_rule: str  # how the number of mixture components was chosen
    bic: float  # Bayesian information criterion; lower is better
    bic_one_component: float
    log_likelihood_known: float  # mean over the known speakers
    log_likelihood_held_out: float  # mean over known speakers, five-fold
    log_likelihood_held_out_one_component: float
    drawn: DrawStatistics

    def to_json(self) -> dict[str, Any]:
        """Returns the metrics as metrics.json holds them, in one level and without those that were not measured."""
        values = asdict(self)
        values |= values.pop("drawn")
        return {name: value for name, value in values.items() if value is not None}


@with_threads_for("bank")
def fit_generator(
    bank: SpeakerBank, config: GeneratorConfig | None = None
) -> tuple[SpeakerGenerator, GeneratorMetrics]:
    """Returns the generator fitted to a bank, and its metrics.

    Args:
        bank: at least MIN_SPEAKERS known speakers.
        config: the settings; None for the defaults.

    Raises:
        InputError: the bank has too few speakers, NaN among its vectors, or the same vector for all of them.

    Example:
        >>> import numpy as np
        >>> vectors = np.random.default_rng(0).random((40, 8), dtype=np.float32)
        >>> vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        >>> bank = SpeakerBank("ge2e", np.arange(40).astype(str), vectors, np.full(40, ""))
        >>> generator, metrics = fit_generator(bank)
        >>> generator
        SpeakerGenerator(2 mixture components over 7 of 8 dimensions, 40 known speakers, space 'ge2e')
        >>> generator.sample(3).shape
        (3, 8)
    """
    config = config or GeneratorConfig()
    if len(bank) < MIN_SPEAKERS:
        raise InputError(f"speaker bank: expected at least {MIN_SPEAKERS} speakers, found {len(bank)}")
    if not np.isfinite(bank.vectors).all() or not np.ptp(bank.vectors, axis=0).any():
        raise InputError("speaker bank: found NaN, infinity or one vector for all speakers, expected different ones")
    components = max(1, min(config.max_components, len(bank) // config.speakers_per_component))
    space = PrincipalSpace.of(bank, config)
    generator = space.fit(components)
    metrics = GeneratorMetrics(
        speakers=len(bank),
        principal_components=len(generator.components),
        mixture_components=components,
        mixture_rule=f"{len(bank)} speakers, one component per {config.speakers_per_component} of them, "
        f"1 to {config.max_components}",
        bic=bic(generator),
        bic_one_component=bic(space.fit(1)),
        log_likelihood_known=float(generator.log_likelihood(bank.vectors).mean()),
        log_likelihood_held_out=float(space.held_out_log_likelihood(components).mean()),
        log_likelihood_held_out_one_component=float(space.held_out_log_likelihood(1).mean()),
        drawn=statistics(generator, config.seed),
    )
    return generator, metrics


def bic(generator: SpeakerGenerator) -> float:
    """Returns the Bayesian information criterion on the bank, p ln S - 2 ln L (Schwarz, 1978); lower is better."""
    parameters = generator.weights.size - 1 + generator.means.size + generator.variances.size
    likelihood = generator.log_likelihood(generator.bank.vectors).sum()
    return float(parameters * np.log(len(generator.bank)) - 2 * likelihood)


@dataclass(frozen=True)
class PrincipalSpace:
    """Known speakers in the principal components of their normal scores, where mixtures are fitted to them.

    Attributes:
        bank: the known speakers.
        config: the settings of the fit.
        marginals: the map between their vectors and their scores.
        mean: (dim,) the mean score.
        components: (kept, dim) the principal components, orthonormal rows.
        z: (S, kept) the scores of the known speakers in these components.
    """

    bank: SpeakerBank
    config: GeneratorConfig
    marginals: Marginals
    mean: np.ndarray
    components: np.ndarray
    z: np.ndarray

    @classmethod
    def of(cls, bank: SpeakerBank, config: GeneratorConfig) -> "PrincipalSpace":
        """Returns the space of a bank."""
        from sklearn.decomposition import PCA  # slow to import, and most uses of this file fit nothing

        marginals = Marginals.fit(bank.vectors)
        scores = known_scores(marginals, bank.vectors, config.seed)
        pca = PCA(n_components=None if config.variance == 1 else config.variance, svd_solver="full").fit(scores)
        components, mean = np.asarray(pca.components_), scores.mean(axis=0)
        return cls(bank, config, marginals, mean, components, (scores - mean) @ components.T)

    def fit(self, components: int, rows: np.ndarray | None = None) -> SpeakerGenerator:
        """Returns a generator with so many mixture components, fitted to all or to `rows` (S,) bool of the bank."""
        from sklearn.mixture import GaussianMixture

        # The floor under the variances keeps a component from collapsing onto a single known speaker.
        mixture = GaussianMixture(
            components,
            covariance_type="diag",
            reg_covar=float(0.01 * self.z.var(axis=0).mean()),
            random_state=self.config.seed,
        ).fit(self.z if rows is None else self.z[rows])
        arrays = {"weights": mixture.weights_, "means": mixture.means_, "variances": mixture.covariances_}
        arrays = {name: array.astype(np.float64) for name, array in arrays.items()}
        return SpeakerGenerator(self.bank, self.components, arrays, marginals=self.marginals, mean=self.mean)

    def held_out_log_likelihood(self, components: int) -> np.ndarray:
        """Returns the log-likelihood (S,) of each known speaker under a mixture fitted to the other folds.

        Scores and principal components are those of the whole bank, so that the densities of all folds are
        comparable. That makes the likelihoods a little too high, but favours no number of mixture components.
        """
        fold = np.random.default_rng(self.config.seed).permutation(len(self.bank)) % FOLDS
        likelihood = np.empty(len(self.bank))
        for number in range(FOLDS):
            rest = fold != number
            mixture = self.fit(min(components, int(rest.sum())), rest)
            likelihood[~rest] = mixture.log_likelihood(self.bank.vectors[~rest])
        return likelihood


def statistics(generator: SpeakerGenerator, seed: int = 0) -> DrawStatistics:
    """Returns statistics of speakers drawn from a generator, with those of its known speakers for comparison."""
    bank, known = generator.bank, generator.bank.directions
    sample = generator.sample(len(known), seed)

    def directions(speakers: np.ndarray) -> np.ndarray:
        return unit_norm(speakers) if generator.length_counts else speakers

    drawn = directions(sample)
    to_known, among_known, among_drawn = drawn @ known.T, _others(known), _others(drawn)
    limit = np.quantile(among_known.max(axis=1), COPY_QUANTILE)
    kept = kept_known = None
    genders = sorted(set(bank.gender.tolist()) - {""})
    if len(genders) > 1:
        of = bank.gender
        drawn_for = {name: directions(generator.sample(len(known), seed, name)) for name in genders}
        nearest = {name: (speakers @ known.T).argmax(axis=1) for name, speakers in drawn_for.items()}
        labelled = of != ""
        kept = float(np.mean([(of[rows] == name).mean() for name, rows in nearest.items()]))
        kept_known = float((of[among_known.argmax(axis=1)] == of)[labelled].mean())
    return DrawStatistics(
        log_likelihood_generated=float(generator.log_likelihood(sample).mean()),
        nearest_known_cosine_generated=float(to_known.max(axis=1).mean()),
        nearest_known_cosine_known=float(among_known.max(axis=1).mean()),
        nearest_generated_cosine=float(among_drawn.max(axis=1).mean()),
        copies=float((to_known.max(axis=1) > limit).mean()),
        alike_generated=_mean_off_diagonal(among_drawn),
        alike_known=_mean_off_diagonal(among_known),
        gender_kept=kept,
        gender_kept_known=kept_known,
    )


def _others(vectors: np.ndarray) -> np.ndarray:
    """Returns the cosines (n, n) between directions (n, dim), with -1 on the diagonal."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return cosines


def _mean_off_diagonal(cosines: np.ndarray) -> float:
    n = len(cosines)
    return float((cosines.sum() + n) / (n * (n - 1)))  # the diagonal holds -1
