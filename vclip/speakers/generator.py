"""The speaker generator: new speakers drawn from a Gaussian mixture over the principal components of known ones.

    z ~ sum_c w_c N(mu_c, diag(sigma_c^2)),    e = on_range(mean + z B)        (Vclip, section 2.3)

B holds the principal components that keep 99 % of the variance.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from vclip import checkpoint
from vclip.config import Settings
from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank, unit_norm

if TYPE_CHECKING:
    from vclip.speakers.generator import SpeakerGenerator

COPY_QUANTILE = 0.99


def statistics(generator: "SpeakerGenerator", seed: int = 0) -> dict[str, Any]:
    """Returns the statistics of speakers drawn from a generator, JSON-ready.

    nearest_known_*: mean cosine with the nearest (other) known speaker, of drawn and of known speakers.
    nearest_generated: of a drawn speaker with the nearest other drawn one.
    copies: the share of drawn speakers that are nearer to a known one than all but 1 % of known ones are to another;
        0.01 is what no copying at all gives.
    alike_*: mean cosine between two speakers, drawn or known; the same means as diverse.
    gender_kept: of speakers drawn for a gender, how many have a nearest known speaker of it, mean over the genders;
        gender_kept_known is that share of the known speakers themselves, and what can be hoped for.
    """
    known = generator.bank.directions

    def directions(gender: str | None = None) -> np.ndarray:
        drawn = generator.sample(len(known), seed, gender)
        return unit_norm(drawn) if generator.length_counts else drawn

    drawn = directions()
    to_known, among_known, among_drawn = drawn @ known.T, _others(known), _others(drawn)
    limit = np.quantile(among_known.max(axis=1), COPY_QUANTILE)
    found = {
        "log_likelihood_generated": float(generator.log_likelihood(generator.sample(len(known), seed)).mean()),
        "nearest_known_cosine_generated": float(to_known.max(axis=1).mean()),
        "nearest_known_cosine_known": float(among_known.max(axis=1).mean()),
        "nearest_generated_cosine": float(among_drawn.max(axis=1).mean()),
        "copies": float((to_known.max(axis=1) > limit).mean()),
        "alike_generated": _mean_off_diagonal(among_drawn),
        "alike_known": _mean_off_diagonal(among_known),
    }
    genders = sorted(set(generator.bank.gender.tolist()) - {""})
    if len(genders) > 1:
        of = generator.bank.gender
        nearest = {name: (directions(name) @ known.T).argmax(axis=1) for name in genders}
        labelled = of != ""
        found["gender_kept"] = float(np.mean([(of[rows] == name).mean() for name, rows in nearest.items()]))
        found["gender_kept_known"] = float((of[among_known.argmax(axis=1)] == of)[labelled].mean())
    return found


def _others(vectors: np.ndarray) -> np.ndarray:
    """Returns cosines (n, n), those with itself at -1."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    return cosines


def _mean_off_diagonal(cosines: np.ndarray) -> float:
    n = len(cosines)
    return float((cosines.sum() + n) / (n * (n - 1)))  # the diagonal holds -1


KIND = "speaker-generator"
ABOUT = "A generator of new speakers: a diagonal Gaussian mixture over the principal components of known speakers."
MIN_SPEAKERS = 10
FOLDS = 5


class GeneratorConfig(Settings):
    """How the speaker generator is fitted."""

    variance: float = Field(0.99, gt=0, le=1, description="share of the variance that the components keep")
    max_components: int = Field(100, ge=1, description="mixture components, at most")
    speakers_per_component: int = Field(20, ge=1, description="fewer components where speakers are few")
    seed: int = 0


class SpeakerGenerator:
    """A fitted mixture over principal components, in one embedding space."""

    def __init__(self, bank: SpeakerBank, components: np.ndarray, mixture: dict[str, np.ndarray]):
        self.space, self.bank = bank.space, bank
        self.mean = bank.vectors.mean(axis=0)  # (dim,)
        self.components = components  # (kept, dim)
        self.weights = mixture["weights"]  # (C,)
        self.means = mixture["means"]  # (C, kept)
        self.variances = mixture["variances"]  # (C, kept)
        self.non_negative = bool((bank.vectors >= 0).all())
        self.length_counts = bank.length_counts
        self.encoders: dict[str, str] = {}  # space -> the spec that opens its encoder, as a checkpoint records it

    def sample(self, count: int, seed: int = 0, gender: str | None = None) -> np.ndarray:
        """Returns (count, dim) float32 new speakers on the encoder's range: unit norm (unless length counts),
        >= 0 if all known ones are.

        Args:
            count: how many.
            seed: of the draw.
            gender: as the bank writes it, to draw like its speakers of that gender alone; see `weights_of`.

        Raises:
            InputError: the bank has no such gender.
        """
        component, noise = self.draw(count, seed, gender)
        z = self.means[component] + np.sqrt(self.variances[component]) * noise
        return self.on_range(self.mean + z @ self.components)

    def draw(self, count: int, seed: int = 0, gender: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Returns components (count,) and standard normal noise (count, kept): what a sample is made of."""
        rng = np.random.default_rng(seed)
        weights = self.weights if gender is None else self.weights_of(gender)
        component = rng.choice(len(weights), size=count, p=weights / weights.sum())
        return component, rng.standard_normal((count, self.means.shape[1]))

    def weights_of(self, gender: str) -> np.ndarray:
        """Returns the weights (C,) of the components given a gender: the mean over its known speakers of p(c | z).

        A component that holds both genders still draws both, so this is as sharp as the mixture is; the fit reports
        how sharp (`gender_kept`).

        Raises:
            InputError: the bank has no speaker of it.
        """
        of = self.bank.gender == gender
        if not gender or not of.any():
            known = ", ".join(sorted(set(self.bank.gender.tolist()) - {""})) or "none"
            raise InputError(f"gender '{gender}': the bank has no speaker of it, expected one of: {known}")
        joint = self._log_joint(self.bank.vectors[of])
        return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)).mean(axis=0)

    def on_range(self, vectors: np.ndarray) -> np.ndarray:
        """Returns vectors (n, dim) put back where the encoder's own lie: clipped at 0 if those are, and of unit
        norm unless the bank says that length counts."""
        if self.non_negative:
            vectors = np.maximum(vectors, 0)
        if self.length_counts:
            return vectors.astype(np.float32)
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def log_likelihood(self, vectors: np.ndarray) -> np.ndarray:
        """Returns the log-density (n,) of speakers (n, dim) under the mixture, in the space of the components."""
        return np.logaddexp.reduce(self._log_joint(vectors), axis=1)

    def _log_joint(self, vectors: np.ndarray) -> np.ndarray:
        """Returns log p(z, c) (n, C)."""
        z = (vectors - self.mean) @ self.components.T  # (n, kept)
        log_norm = np.log(2 * np.pi * self.variances).sum(axis=1)  # (C,)
        # Multiplied out: the differences (n, C, kept) of 5000 candidates under 100 components would take gigabytes.
        square = (
            z**2 @ (1 / self.variances).T
            - 2 * z @ (self.means / self.variances).T
            + (self.means**2 / self.variances).sum(axis=1)
        )  # (n, C)
        return np.log(self.weights) - 0.5 * (log_norm + square)

    def save(self, folder: str | Path, metrics: dict[str, Any], made_by: dict[str, Any] | None = None) -> Path:
        """Writes the checkpoint folder."""
        tensors = {
            "bank": self.bank.vectors,
            "components": self.components,
            "weights": self.weights,
            "means": self.means,
            "variances": self.variances,
        }
        config = {
            "space": self.space,
            "speaker_id": self.bank.speaker_id.tolist(),
            "gender": self.bank.gender.tolist(),
            "length_counts": self.length_counts,
            "made_by": checkpoint.with_encoders(self.encoders, made_by),
        }
        return checkpoint.save(folder, KIND, tensors, config, metrics, ABOUT)

    @classmethod
    def load(cls, folder: str | Path) -> "SpeakerGenerator":
        """Returns the generator of a checkpoint folder; raises InputError if it is none."""
        tensors, config, _ = checkpoint.load(folder, KIND)
        with checkpoint.as_it_was(folder):
            arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
            ids, genders = (np.array(config[name], dtype=str) for name in ("speaker_id", "gender"))
            # Older generators do not say whether length counts: it did not.
            bank = SpeakerBank(config["space"], ids, arrays["bank"], genders, config.get("length_counts", False))
            generator = cls(bank, arrays["components"], arrays)
            generator.encoders = checkpoint.encoders_of(config)
        return generator


def fit_generator(
    bank: SpeakerBank, config: GeneratorConfig | None = None
) -> tuple[SpeakerGenerator, dict[str, Any]]:
    """Returns the generator fitted to a bank, and what was measured; see also `vclip.speakers.generator`.

    Raises:
        InputError: too few speakers.
    """
    config = config or GeneratorConfig()
    if len(bank) < MIN_SPEAKERS:
        raise InputError(f"speaker bank: found {len(bank)} speakers, expected at least {MIN_SPEAKERS}")
    wanted = max(1, min(config.max_components, len(bank) // config.speakers_per_component))
    generator = fit_mixture(bank, config, wanted)
    metrics = {
        "speakers": len(bank),
        "principal_components": len(generator.components),
        "mixture_components": wanted,
        "mixture_rule": f"{len(bank)} speakers, one component per {config.speakers_per_component} of them, "
        f"1 to {config.max_components}",
        "bic": bic(generator),
        "bic_one_component": bic(fit_mixture(bank, config, 1)),
        "log_likelihood_known": float(generator.log_likelihood(bank.vectors).mean()),
        "log_likelihood_held_out": float(held_out_log_likelihood(bank, wanted, config).mean()),
        "log_likelihood_held_out_one_component": float(held_out_log_likelihood(bank, 1, config).mean()),
        **statistics(generator, config.seed),
    }
    return generator, metrics


def bic(generator: SpeakerGenerator) -> float:
    """Returns the Bayesian information criterion over the bank, p ln S - 2 ln L (Schwarz, 1978); lower is better."""
    parameters = generator.weights.size - 1 + generator.means.size + generator.variances.size
    likelihood = generator.log_likelihood(generator.bank.vectors).sum()
    return float(parameters * np.log(len(generator.bank)) - 2 * likelihood)


def held_out_log_likelihood(bank: SpeakerBank, components: int, config: GeneratorConfig | None = None) -> np.ndarray:
    """Returns the log-likelihood (S,) of each known speaker under a mixture fitted to the other folds.

    The principal components are those of the whole bank, so that densities can be compared; so this is a little too
    kind to the speaker, though not to one number of components over another.
    """
    config = config or GeneratorConfig()
    fold = np.random.default_rng(config.seed).permutation(len(bank)) % FOLDS
    found = np.empty(len(bank))
    for number in range(FOLDS):
        rest = fold != number
        mixture = fit_mixture(bank, config, min(components, int(rest.sum())), rest)
        found[~rest] = mixture.log_likelihood(bank.vectors[~rest])
    return found


def fit_mixture(
    bank: SpeakerBank, config: GeneratorConfig, components: int, rows: np.ndarray | None = None
) -> SpeakerGenerator:
    """Returns a generator of so many components; its mixture sees only `rows` (S,) bool of the bank, if given."""
    from sklearn.decomposition import PCA  # slow to import, and most who import this file fit nothing
    from sklearn.mixture import GaussianMixture

    pca = PCA(n_components=None if config.variance == 1 else config.variance, svd_solver="full").fit(bank.vectors)
    z = (bank.vectors - bank.vectors.mean(axis=0)) @ pca.components_.T
    # The floor under the variances keeps a component from closing on a single known speaker.
    mixture = GaussianMixture(
        components, covariance_type="diag", reg_covar=float(0.01 * z.var(axis=0).mean()), random_state=config.seed
    ).fit(z if rows is None else z[rows])
    arrays = {"weights": mixture.weights_, "means": mixture.means_, "variances": mixture.covariances_}
    return SpeakerGenerator(bank, pca.components_, {k: v.astype(np.float64) for k, v in arrays.items()})
