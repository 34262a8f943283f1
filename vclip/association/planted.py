"""Synthetic faces and voices with a known joint distribution: how well they can be matched at best is known.

Each person has pairs of standard normal causes, one of the face and one of the voice, whose correlations are given.
Causes and noise are mixed, bent and mixed again, each step invertible, so that the vectors hold just what the causes
hold: the likelihood ratio of the causes is that of the vectors, and no method can match better than by it.
"""

from dataclasses import dataclass

import numpy as np

from vclip.association.pairs import Pairs

FACE_SPACE, VOICE_SPACE = "planted-faces", "planted-voices"


@dataclass(frozen=True)
class Planted:
    """A world of such people.

    Args:
        correlations: (k,) 0..1, of the causes.
        d_face, d_voice: dimensions of the vectors, at least k.
        bend: how far the vectors are from a linear function of the causes; 0 leaves them linear.
        seed: of the world; people are drawn by seeds of their own.
    """

    correlations: tuple[float, ...] = (0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.3, 0.25, 0.25, 0.2, 0.2, 0.2)
    d_face: int = 512
    d_voice: int = 256
    bend: float = 1.0
    seed: int = 0

    def people(self, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the causes of faces and of voices, (count, k) float32 each."""
        rng = np.random.default_rng([self.seed, 1, seed])
        faces, own = rng.standard_normal((2, count, len(self.correlations)), dtype=np.float32)
        rho = np.float32(self.correlations)
        return faces, rho * faces + np.sqrt(1 - rho**2) * own

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
        """Returns the AUC of the likelihood ratio over all pairs of so many people: the most that can be had."""
        from vclip.association.metrics import all_trials, auc

        return auc(all_trials(self.log_ratio(*self.people(count, seed)), np.arange(count)))

    def log_ratio(self, faces: np.ndarray, voices: np.ndarray) -> np.ndarray:
        """Returns log p(face, voice) / p(face) p(voice) (n, m) of causes (n, k) and (m, k)."""
        rho = np.float32(self.correlations)
        left = 2 * (1 - rho**2)
        own = [-(side**2) @ (rho**2 / left) for side in (faces, voices)]
        return (faces * (2 * rho / left)) @ voices.T + own[0][:, None] + own[1] - 0.5 * np.log(1 - rho**2).sum()

    def _seen(self, causes: np.ndarray, dim: int, stream: int, seed: int) -> np.ndarray:
        world = np.random.default_rng([self.seed, stream])
        first, second = (np.linalg.qr(world.normal(size=(dim, dim)))[0].astype(np.float32) for _ in range(2))
        rng = np.random.default_rng([self.seed, stream, seed])
        noise = rng.standard_normal((len(causes), dim - causes.shape[1]), dtype=np.float32)
        mixed = np.hstack([causes, noise]) @ first
        # Rises everywhere, steeper on one side than on the other.
        mixed += np.float32(self.bend) * np.float32(0.6) * np.sqrt(1 + mixed**2)
        return mixed @ second
