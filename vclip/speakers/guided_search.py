"""Guided search: gradient ascent of the score inside the speaker generator's mixture, instead of many draws.

A draw is z = mu_c + sigma_c u in the principal components. The k voices of a face climb together, from draws that are
chosen as the informed search chooses them: their u follow the gradient of the mean of

    cos(phi_v(s(e)), phi_i(f_i(x))),    e = on_range(q(mean + z B))

while the mean cosine of two voices s(e) stays at or below that of the k voices which the informed search finds
among the same draws. So guided voices are as diverse as informed ones, whatever the diversity asked for. Where the
limit is reached, the part of the gradient that makes the voices more alike is removed (Rosen, 1960).

No u leaves the ball in which the density of its component c alone,

    log w_c - log|2 pi sigma_c^2| / 2 - |u|^2 / 2,

is at least that of a given share of the draws. Many u give one e on the encoder's range, so the likelihood of e is
compared with that of the draws too, and a step below the same share of them is shortened. The voice of a TTS changes
less smoothly than its signature, so the s(e) of the score is smoothed: averaged over noise around e.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vclip.association.base import Association, DifferentiableAssociation, device_of
from vclip.config import Settings
from vclip.errors import InputError
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.normal_scores import scores_of, values_at
from vclip.speakers.signature import TTSSignature

FACES = 64  # faces whose climbs are computed at once
HALVINGS = 2  # of a step that ends below the floor
# As spoken by `morph`, guided voices are up to this cosine more alike than predicted, compared with informed ones.
MARGIN = 0.01
SLACK = 1e-3  # tolerance of the limit
COPIES = 8  # noisy copies of a speaker, over which the signature is averaged


class GuidedConfig(Settings):
    """The number and the length of the climbs of guided search.

    f2v of three voices as spoken by `morph`, guided minus informed, in two splits of 50 people, at diversity 0 and
    at 0.5, without the margin (differences +- .007 to .023): 4 steps of 0.1 gave -.000 and +.006, +.011 and +.004;
    8 steps of 0.2 gave +.008 and +.008, +.032 and +.001.
    """

    draws: int = Field(default=5000, ge=2, description="speakers drawn, from which the climbs start")
    climbers: int = Field(default=4, ge=1, description="climbs for each face, of all its voices together")
    steps: int = Field(default=8, ge=1, description="steps of each climb")
    step_size: float = Field(
        default=0.2, gt=0, le=2, description="the first step, in radii of the ball; later steps shrink"
    )
    smoothing: float = Field(
        default=0.5,
        ge=0,
        description="length of the noise over which s(e) is averaged, for a speaker of length 1; 0: none",
    )
    floor: float = Field(
        default=0.5, ge=0, lt=1, description="no voice is less likely than this share of the draws; 0.5: the median"
    )


class GuidedSearch:
    """Guided search over one set of draws.

    Args:
        model: the association model, with a differentiable `project_voices`; every method of Vclip has one.
        generator: the speaker generator whose mixture is searched.
        signature: the signature of the TTS, for the informed score; None for the naive one.
        config: the settings; None for the defaults.
        seed: the seed of the draws.
        known_similarity: the highest cosine that a voice may have with a known speaker of the generator's bank.

    Raises:
        InputError: the model has no `project_voices`, or too few draws can serve as starts.
    """

    def __init__(
        self,
        model: Association,
        generator: SpeakerGenerator,
        signature: TTSSignature | None,
        config: GuidedConfig | None = None,
        seed: int = 0,
        known_similarity: float = 1.0,
    ):
        if not isinstance(model, DifferentiableAssociation):
            raise InputError(
                f"guided search: found a model ({type(model).__name__}) without project_voices, through which the "
                "score can be differentiated; choose the informed score"
            )
        if isinstance(model, nn.Module):
            model.eval()
        self.config, self._model, self._device = config or GuidedConfig(), model, device_of(model)
        self._signature = signature and copy.deepcopy(signature).to(self._device)  # the caller's stays where it is
        self._known_similarity = known_similarity
        self._generator = generator
        self.mean, self.basis, self.means = map(self._tensor, (generator.mean, generator.components, generator.means))
        self.knots = self._tensor(generator.marginals.knots) if generator.marginals else None
        self.deviations = self._tensor(generator.variances**0.5)
        self.precisions = self._tensor(1 / generator.variances)
        log_norm = np.log(2 * np.pi * generator.variances).sum(axis=1)
        self.peaks = self._tensor(np.log(generator.weights) - 0.5 * log_norm)  # (C,) log-density at the means
        self.bank = self._tensor(generator.bank.directions)
        noise = np.random.default_rng(seed).standard_normal((COPIES, 1, len(generator.mean)))
        length = np.linalg.norm(generator.bank.vectors, axis=1).mean() if generator.length_counts else 1.0
        self.noise = self._tensor(self.config.smoothing * length * noise / np.sqrt(len(generator.mean)))
        component, u = (self._tensor(part) for part in generator.draw(self.config.draws, seed))
        component = component.long()
        with torch.no_grad():
            drawn = self._speakers(component, u)
            likelihood = self.log_likelihood(drawn)
            self.floor = float(likelihood.quantile(self.config.floor))  # log-likelihood under the generator
            own = self.peaks[component] - 0.5 * u.square().sum(1)
            radius = (2 * (self.peaks[component] - own.quantile(self.config.floor))).clamp_min(0).sqrt()
            usable = self._allowed(drawn) & (radius > 0)
            if int(usable.sum()) < self.config.climbers:
                raise InputError(
                    f"guided search: found {int(usable.sum())} of {len(drawn)} draws to start from, expected "
                    f"{self.config.climbers} or more; raise guided.draws, or lower guided.climbers or guided.floor"
                )
            self._start = component[usable], u[usable], radius[usable]
            self._informed = self._embed(self._predict(drawn))
            self._smooth = self._embed(self.predict_voices(drawn[usable]))

    def find(self, faces: np.ndarray, k: int = 1, diversity: float = 0.0) -> np.ndarray:
        """Returns speakers (m, k, dim) float32 on the encoder's range that suit the faces.

        Args:
            faces: (m, d) unit norm, phi_i of the faces; see `voice_search.face_directions`.
            k: the number of voices for each face.
            diversity: d of the informed search, whose k voices are the measure of how alike these may be.

        Raises:
            InputError: k is less than one or more than the number of draws to start from.
        """
        starts = len(self._smooth[0])
        if not 1 <= k <= starts:
            raise InputError(f"guided search: requested {k} voices of {starts} draws, expected 1 to {starts}")
        blocks = [self._find(self._tensor(faces[i : i + FACES]), k, diversity) for i in range(0, len(faces), FACES)]
        return torch.cat(blocks).cpu().numpy() if blocks else np.zeros((0, k, len(self.mean)), np.float32)

    def _find(self, faces: Tensor, k: int, diversity: float) -> Tensor:
        n = min(self.config.climbers, len(self._smooth[0]) // k)
        with torch.no_grad():
            informed = _pick(faces, *self._informed, k, 1, diversity)[:, 0]  # (m, k)
            limit = (_alike(self._informed[0][informed]) - MARGIN).repeat_interleave(n)
            starts = _pick(faces, *self._smooth, k, n, diversity).flatten(0, 1)  # (m n, k)
        value, speakers = self._climb(faces.repeat_interleave(n, dim=0), starts, limit)
        first = value.reshape(len(faces), n).argmax(1)
        return speakers.unflatten(0, (len(faces), n))[torch.arange(len(faces), device=first.device), first]

    def _climb(self, faces: Tensor, starts: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the best value (n,) and speakers (n, k, dim) of each climb from draws (n, k).

        Args:
            faces: (n, d) the face of each climb.
            starts: (n, k) rows of the draws.
            limit: (n,) the highest mean cosine of two voices.
        """
        component, u, radius = (rows[starts] for rows in self._start)
        k, radius = starts.shape[1], radius[..., None]
        best_value, best = faces.new_full((len(faces),), -torch.inf), faces.new_zeros(*starts.shape, len(self.mean))
        for step in range(self.config.steps + 1):
            u.requires_grad_(True)
            e = self._speakers(component, u)
            voices = self.predict_voices(e)
            projected = self._model.project_voices(voices.flatten(0, 1)).unflatten(0, starts.shape)
            score, alike = torch.einsum("nkd,nd->n", projected, faces) / k, _alike(self._predict(e))
            (up,) = torch.autograd.grad(score.sum(), u, retain_graph=True)
            (closer,) = torch.autograd.grad(alike.sum(), u) if k > 1 else (torch.zeros_like(u),)
            with torch.no_grad():
                excess = alike - limit
                value = score - 100 * (excess - SLACK).clamp_min(0)  # of sets too alike, the least alike one
                better = value > best_value
                best_value = torch.where(better, value, best_value)
                best = torch.where(better[:, None, None], e, best)
                if step == self.config.steps:
                    break
                size = self.config.step_size * (1 - step / (self.config.steps + 1))
                square = closer.square().sum((1, 2)).clamp_min(1e-12)
                along = torch.where(excess > -SLACK, (up * closer).sum((1, 2)).clamp_min(0) / square, 0)
                up = F.normalize((up - along[:, None, None] * closer).flatten(1), dim=1).reshape(up.shape)
                back = (excess.clamp_min(0) / square)[:, None, None] * closer
                u = self._inside(component, u, size * k**0.5 * radius * up - back, radius)
        return best_value, best.detach()

    def _inside(self, component: Tensor, u: Tensor, move: Tensor, radius: Tensor) -> Tensor:
        """Returns u after the move, or after a part of it that keeps the speaker allowed."""
        moved = u
        for part in [0.5**halving for halving in range(HALVINGS, -1, -1)]:  # the longest one that is allowed wins
            tried = u + part * move
            tried = tried * (radius / tried.norm(dim=-1, keepdim=True).clamp_min(1e-12)).clamp(max=1)
            moved = torch.where(self._allowed(self._speakers(component, tried))[..., None], tried, moved)
        return moved.detach()

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(x, np.float32), device=self._device)

    def predict_voices(self, speakers: Tensor) -> Tensor:
        """Returns the smoothed predictions (..., d_voice), unit norm, of the voices of speakers (..., dim)."""
        if self._signature is None or not self.config.smoothing:
            return self._predict(speakers)
        around = self._on_range(speakers.flatten(0, -2) + self.noise)  # (COPIES, n, dim)
        return F.normalize(self._signature(around).mean(0), dim=1).unflatten(0, speakers.shape[:-1])

    def _predict(self, speakers: Tensor) -> Tensor:
        return speakers if self._signature is None else self._signature(speakers)

    def _embed(self, voices: Tensor) -> tuple[Tensor, Tensor]:
        """Returns voices (n, d_voice), and their embeddings (n, d) by the model."""
        return voices, self._model.project_voices(voices)

    def _allowed(self, speakers: Tensor) -> Tensor:
        """Returns which speakers (..., dim) reach the floor and are not too similar to a known one, (...,) bool."""
        likely = self.log_likelihood(speakers) >= self.floor
        directions = F.normalize(speakers, dim=-1) if self._generator.length_counts else speakers
        return likely & ((directions @ self.bank.T).amax(-1) <= self._known_similarity + 1e-6)

    def _speakers(self, component: Tensor, u: Tensor) -> Tensor:
        """Returns speakers (..., dim), on the encoder's range, at components (...,) and positions u (..., kept)."""
        scores = self.mean + (self.means[component] + self.deviations[component] * u) @ self.basis
        return self._on_range(scores if self.knots is None else values_at(self.knots, scores))

    def _on_range(self, speakers: Tensor) -> Tensor:
        speakers = speakers.clamp_min(0) if self._generator.non_negative else speakers
        return speakers if self._generator.length_counts else F.normalize(speakers, dim=-1)

    def log_likelihood(self, speakers: Tensor) -> Tensor:
        """Returns the log-density (...,) of speakers (..., dim), as `SpeakerGenerator.log_likelihood` does."""
        scores = speakers if self.knots is None else scores_of(self.knots, speakers)
        z = (scores - self.mean) @ self.basis.T
        square = z**2 @ self.precisions.T - 2 * z @ (self.means * self.precisions).T
        square = square + (self.means**2 * self.precisions).sum(1)
        return torch.logsumexp(self.peaks - 0.5 * square, dim=-1)


def _pick(faces: Tensor, voices: Tensor, embedded: Tensor, k: int, sets: int, diversity: float) -> Tensor:
    """Returns the rows (m, sets, k) that `pick_diverse` picks, each set without the rows of the former ones.

    Args:
        faces: (m, d) unit norm.
        voices, embedded: (n, d_voice) and (n, d) unit norm, the candidates.
        k, sets, diversity: the number of voices in a set, of sets, and d of `pick_diverse`.
    """
    score, picked = faces @ embedded.T, []
    for number in range(sets * k):
        value = score
        if number % k and diversity:
            others = voices[torch.stack(picked[-(number % k) :], 1)]  # (m, chosen, d_voice)
            alike = torch.einsum("nd,mjd->mnj", voices, others).amax(2)
            value = ((1 - diversity) * score - diversity * alike).where(score > -torch.inf, -torch.inf)
        picked.append(value.argmax(1))
        score = score.scatter(1, picked[-1][:, None], -torch.inf)
    return torch.stack(picked, 1).unflatten(1, (sets, k))


def _alike(voices: Tensor) -> Tensor:
    """Returns the mean cosine (n,) of two of k voices (n, k, d_voice), unit norm; 0 for one voice."""
    k = voices.shape[1]
    return (voices.sum(1).square().sum(1) - k) / max(k * (k - 1), 1)
