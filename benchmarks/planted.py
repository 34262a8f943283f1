"""Synthetic faces and voices with a known joint distribution, and so with a known best possible AUC.

Each person has a few latent causes of the face and as many of the voice, whose dependence is a law. Causes and noise
pass through an elementwise nonlinearity and a mixing matrix, both invertible, so the vectors hold exactly what the
causes hold: the likelihood ratio of the causes is that of the vectors, and no method can score better than by it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vclip.association.pairs import Pairs

FACE_SPACE, VOICE_SPACE = "planted-faces", "planted-voices"
STEEP = 0.6  # of a bend of 1, the difference of the slopes far to both sides


class Law(Protocol):
    """How the causes of a face and of a voice depend on each other. Each cause has a mean square of one."""

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Returns the causes of faces and of voices, (count, k) float32 each."""
        ...

    def log_ratio(self, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
        """Returns log p(face, voice) / p(face) p(voice) (n, m) of causes (n, k) and (m, k)."""
        ...


@dataclass(frozen=True)
class Directions:
    """Directions, as encoders give: a voice's is spread around the face's (von Mises and Fisher).

    The likelihood ratio rises with the cosine, so that two embeddings and a cosine can be as good as anything. As it
    stands, the best AUC is about that of the best published systems on real people.
    """

    count: int = 4
    concentration: float = 4.0

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        from scipy.stats import vonmises_fisher

        pole = np.eye(self.count)[0]
        faces = rng.standard_normal((count, self.count))
        faces /= np.linalg.norm(faces, axis=1, keepdims=True)
        voices = vonmises_fisher(pole, self.concentration, seed=rng).rvs(count)
        # The reflection that takes the pole to the face takes what is around the one to what is around the other.
        across = pole - faces
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        voices = voices - 2 * (voices * across).sum(1, keepdims=True) * across
        return tuple((side * self.count**0.5).astype(np.float32) for side in (faces, voices))

    def log_ratio(self, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
        from scipy.special import gammaln, ive

        half, kappa = self.count / 2, self.concentration
        # log of the density's constant over that of the sphere; ive is scaled by exp(-kappa).
        constant = (half - 1) * np.log(kappa / 2) - np.log(ive(half - 1, kappa)) - kappa - gammaln(half)
        return np.float32(kappa / self.count) * (faces @ voices.T) + np.float32(constant)


@dataclass(frozen=True)
class Normals:
    """Normal causes, some of them faint. Lengths matter too, which a cosine can only approximate."""

    correlations: tuple[float, ...] = (0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.3, 0.25, 0.25, 0.2, 0.2, 0.2)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        faces, own = rng.standard_normal((2, count, len(self.correlations)), dtype=np.float32)
        rho = np.float32(self.correlations)
        return faces, rho * faces + np.sqrt(1 - rho**2) * own

    def log_ratio(self, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
        rho = np.float32(self.correlations)
        left = 2 * (1 - rho**2)
        own = [-(side**2) @ (rho**2 / left) for side in (faces, voices)]
        return (faces * (2 * rho / left)) @ voices.T + own[0][:, None] + own[1] - 0.5 * np.log(1 - rho**2).sum()


@dataclass(frozen=True)
class Planted:
    """A world of synthetic people.

    Args:
        law: of the causes.
        d_face, d_voice: dimensions of the vectors, at least those of the causes.
        bend: how far the vectors are from a linear function of the causes; 0 leaves them linear.
        seed: of the world; people are drawn by seeds of their own.
    """

    law: Law = Directions()
    d_face: int = 512
    d_voice: int = 256
    bend: float = 1.0
    seed: int = 0

    def people(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the causes of faces and of voices, (count, k) float32 each."""
        return self.law.draw(count, np.random.default_rng([self.seed, 1, seed]))

    def pairs(self, count: int, seed: int) -> Pairs:
        """Returns one clip of each of `count` people; different seeds give different people."""
        faces, voices = self.people(count, seed)
        rows = np.arange(count)
        identity = np.char.add(f"p{seed}-", rows.astype(str))
        return Pairs(
            self._seen(faces, self.d_face, 2, seed),
            rows,
            self._seen(voices, self.d_voice, 3, seed),
            rows,
            identity,
            identity,
            identity,
            np.full(count, ""),
        )

    def best_auc(self, count: int = 4000, seed: int = 1_000_003) -> float:
        """Returns the AUC of the likelihood ratio over all pairs of the given number of people: the best possible."""
        from vclip.association.metrics import all_trials, auc

        return auc(all_trials(self.law.log_ratio(*self.people(count, seed)), np.arange(count)))

    def _seen(self, causes: np.ndarray, dim: int, stream: int, seed: int) -> np.ndarray:
        world = np.random.default_rng([self.seed, stream])
        turned, mixed = (_rotation(size, world) for size in (causes.shape[1], dim))
        rng = np.random.default_rng([self.seed, stream, seed])
        noise = rng.standard_normal((len(causes), dim - causes.shape[1]), dtype=np.float32)
        entries = np.hstack([causes @ turned, noise])
        # Rises everywhere, steeper on one side than on the other.
        entries += np.float32(STEEP * self.bend) * np.sqrt(1 + entries**2)
        return entries @ mixed


def _rotation(dim: int, rng: np.random.Generator) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(dim, dim)))[0].astype(np.float32)
