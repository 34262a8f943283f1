"""The speaker generator: new speakers drawn from a Gaussian mixture over the principal components of known ones.

    z ~ sum_c w_c N(mu_c, diag(sigma_c^2)),    e = on_range(q(mean + z B))

as in Vclip, section 2.3, but for q, which maps normal scores to the values of each entry (`normal_scores`); Vclip's
mixture is over the vectors themselves. `generator_fit` fits the mixture.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vclip import checkpoint
from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.normal_scores import Marginals

KIND = "speaker-generator"
ABOUT = "A generator of new speakers: a diagonal Gaussian mixture over the normal scores of known speakers."
LONGEST_TEXT = 1000  # characters of an id or a gender in a checkpoint


class SpeakerGenerator:
    """A fitted mixture over principal components, in one embedding space.

    Args:
        bank: the known speakers that the mixture was fitted to.
        components: (kept, dim) principal components, orthonormal rows.
        mixture: "weights" (C,), "means" (C, kept) and "variances" (C, kept) of the C mixture components.
        encoders: space -> the spec that opens its encoder; checkpoints record it.
        marginals: the map between vectors and scores; None if the mixture is over the vectors themselves.
        mean: (dim,) the mean score; None for the mean vector of the bank.
    """

    def __init__(
        self,
        bank: SpeakerBank,
        components: np.ndarray,
        mixture: Mapping[str, np.ndarray],
        encoders: Mapping[str, str] | None = None,
        marginals: Marginals | None = None,
        mean: np.ndarray | None = None,
    ):
        self.space, self.bank = bank.space, bank
        self.marginals = marginals
        self.mean = bank.vectors.mean(axis=0) if mean is None else mean  # (dim,)
        self.components = components  # (kept, dim)
        self.weights = mixture["weights"]  # (C,)
        self.means = mixture["means"]  # (C, kept)
        self.variances = mixture["variances"]  # (C, kept)
        self.non_negative = bool((bank.vectors >= 0).all())
        self.length_counts = bank.length_counts
        self.encoders = dict(encoders or {})

    def __repr__(self) -> str:
        kept, dim = self.components.shape
        return (
            f"SpeakerGenerator({len(self.weights)} mixture components over {kept} of {dim} dimensions, "
            f"{len(self.bank)} known speakers, space '{self.space}')"
        )

    def sample(self, count: int, seed: int = 0, gender: str | None = None) -> np.ndarray:
        """Returns new speakers (count, dim) float32, put on the range of the known ones by `on_range`.

        Args:
            count: the number of speakers.
            seed: the seed of the draw.
            gender: one of the bank's genders, to draw speakers like those of that gender (see `weights_of`); None
                draws any.

        Raises:
            InputError: the bank has no such gender.
        """
        component, noise = self.draw(count, seed, gender)
        scores = self.mean + (self.means[component] + np.sqrt(self.variances[component]) * noise) @ self.components
        return self.on_range(self.marginals.values(scores) if self.marginals else scores)

    def draw(self, count: int, seed: int = 0, gender: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Returns the mixture components (count,) and the standard normal noise (count, kept) that `sample` uses."""
        rng = np.random.default_rng(seed)
        weights = self.weights if gender is None else self.weights_of(gender)
        component = rng.choice(len(weights), size=count, p=weights / weights.sum())
        return component, rng.standard_normal((count, self.means.shape[1]))

    def weights_of(self, gender: str) -> np.ndarray:
        """Returns the weights (C,) of the components given a gender: the mean of p(c | z) over its known speakers.

        A component of both genders still draws both; `DrawStatistics.gender_kept` measures how often.

        Raises:
            InputError: the bank has no speaker of that gender.
        """
        of = self.bank.gender == gender
        if not gender or not of.any():
            known = ", ".join(sorted(set(self.bank.gender.tolist()) - {""})) or "none"
            raise InputError(f"gender '{gender}': the bank has no speaker of it, expected one of: {known}")
        joint = self._log_joint(self.bank.vectors[of])
        return np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)).mean(axis=0)

    def on_range(self, vectors: np.ndarray) -> np.ndarray:
        """Returns vectors (n, dim) float32 put on the range of the known ones.

        They are clipped at 0 if no known vector is negative, and scaled to unit norm unless length counts.
        """
        if self.non_negative:
            vectors = np.maximum(vectors, 0)
        if not self.length_counts:
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors.astype(np.float32)

    def log_likelihood(self, vectors: np.ndarray) -> np.ndarray:
        """Returns the log-density (n,) of the scores of speakers (n, dim), in the space of the components."""
        return np.logaddexp.reduce(self._log_joint(vectors), axis=1)

    def _log_joint(self, vectors: np.ndarray) -> np.ndarray:
        """Returns log p(z, c) (n, C)."""
        scores = self.marginals.scores(vectors) if self.marginals else vectors
        z = (scores - self.mean) @ self.components.T  # (n, kept)
        log_norm = np.log(2 * np.pi * self.variances).sum(axis=1)  # (C,)
        # Multiplied out: the differences (n, C, kept) of 5000 candidates under 100 components would take gigabytes.
        square = (
            z**2 @ (1 / self.variances).T
            - 2 * z @ (self.means / self.variances).T
            + (self.means**2 / self.variances).sum(axis=1)
        )  # (n, C)
        return np.log(self.weights) - 0.5 * (log_norm + square)

    def save(self, folder: str | Path, metrics: Mapping[str, Any], made_by: Mapping[str, Any] | None = None) -> Path:
        """Writes a checkpoint folder and returns its path; `made_by` records the configuration and the data."""
        tensors = {
            "bank": self.bank.vectors,
            "mean": self.mean,
            "components": self.components,
            "weights": self.weights,
            "means": self.means,
            "variances": self.variances,
        }
        if self.marginals:
            tensors["knots"] = self.marginals.knots
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
        """Returns the generator of a checkpoint folder.

        Raises:
            InputError: the folder holds no generator, or a part of one is missing.
        """
        tensors, config, _ = checkpoint.load(folder, KIND)
        with checkpoint.as_it_was(folder):
            arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
            ids, genders = (_texts(config[name]) for name in ("speaker_id", "gender"))
            # Older checkpoints have no length_counts; length never counted then.
            bank = SpeakerBank(config["space"], ids, arrays["bank"], genders, config.get("length_counts", False))
            # Older ones are mixtures over the vectors themselves.
            marginals = Marginals(arrays["knots"]) if "knots" in arrays else None
            encoders = checkpoint.encoders_of(config)
            return cls(bank, arrays["components"], arrays, encoders, marginals, arrays.get("mean"))


def _texts(values: Sequence[Any]) -> np.ndarray:
    """Returns texts (n,) str; an array gives each the room of the longest, which therefore has a limit."""
    if not all(isinstance(value, str) and len(value) <= LONGEST_TEXT for value in values):
        raise ValueError(f"expected texts of at most {LONGEST_TEXT} characters")
    return np.array(values, dtype=str)
