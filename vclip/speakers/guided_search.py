"""Guided search: gradient ascent of the score inside the speaker generator's mixture, instead of many draws.

A draw is z = mu_c + sigma_c u in the principal components. From the best of a few draws, u follows the gradient of

    (1 - d) cos(phi_v(s(e)), phi_i(f_i(x))) - d max_j cos(s(e), s(e_j)),    e = on_range(mean + z B)

where e_j are the voices already chosen for the face and d is the diversity. `pick_diverse` has the same objective and
chooses among draws. After each step, u is projected onto the ball in which the density of component c alone reaches
the floor:

    log w_c - log|2 pi sigma_c^2| / 2 - |u|^2 / 2 >= floor.

Putting e on the encoder's range changes its likelihood a little, so the likelihood is computed there too, and the
best point of each climb above the floor is kept. The start is above the floor, so no climb ends below its start. The
voice of a TTS changes less smoothly than its signature, so s(e) is smoothed: averaged over noise around e.
"""

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vclip.association.base import Association, DifferentiableAssociation, device_of
from vclip.config import Settings
from vclip.errors import InputError
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import TTSSignature

FACES = 256  # faces whose climbs are computed at once
COPIES = 8  # noisy copies of a speaker, over which the signature is averaged


class GuidedConfig(Settings):
    """The number and the length of the climbs of guided search.

    By default, short climbs from many draws over a smoothed signature: otherwise a climb ends where the signature is
    too optimistic. f2v measured on one spoken voice of `morph` for each of 90 people (differences +- .014): best of
    5000 draws .325; guided .338; with 8 steps of 0.15 .326; unsmoothed .314; unsmoothed with 12 steps of 0.3 from 256
    draws .291.
    """

    draws: int = Field(default=1000, ge=2, description="speakers drawn, from which the climbs start")
    climbers: int = Field(default=8, ge=1, description="climbs for each voice")
    steps: int = Field(default=4, ge=1, description="steps of each climb")
    step_size: float = Field(
        default=0.1, gt=0, le=2, description="the first step, in radii of the ball; later steps shrink"
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
        self.config, self._model, self._signature = config or GuidedConfig(), model, signature
        self._device = device_of(model)
        self._known_similarity = known_similarity
        self._generator = generator
        self.mean, self.basis, self.means = map(self._tensor, (generator.mean, generator.components, generator.means))
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
            radius = (2 * (self.peaks - self.floor)).clamp_min(0).sqrt()[component]
            usable = self._allowed(drawn) & (radius > 0)
            if int(usable.sum()) < self.config.climbers:
                raise InputError(
                    f"guided search: found {int(usable.sum())} of {len(drawn)} draws to start from, expected "
                    f"{self.config.climbers} or more; raise guided.draws, or lower guided.climbers or guided.floor"
                )
            self._start = component[usable], u[usable], radius[usable]
            self._expected = self.predict_voices(drawn[usable])
            self._voices = model.project_voices(self._expected)

    def find(self, faces: np.ndarray, k: int = 1, diversity: float = 0.0) -> np.ndarray:
        """Returns speakers (m, k, dim) float32 on the encoder's range that suit the faces, in the order of search.

        Args:
            faces: (m, d) unit norm, phi_i of the faces; see `voice_search.face_directions`.
            k: the number of voices for each face.
            diversity: d of the objective, from 0 (each voice starts from other draws, but may end at the same point)
                to 1.
        """
        blocks = [self._find(self._tensor(faces[i : i + FACES]), k, diversity) for i in range(0, len(faces), FACES)]
        return torch.cat(blocks).cpu().numpy() if blocks else np.zeros((0, k, len(self.mean)), np.float32)

    def _find(self, faces: Tensor, k: int, diversity: float) -> Tensor:
        chosen: list[Tensor] = []
        voices = faces.new_zeros(len(faces), 0, self._expected.shape[1])
        score = faces @ self._voices.T  # (m, draws)
        for _ in range(k):
            value = score
            if chosen:
                alike = torch.einsum("nd,mjd->mnj", self._expected, voices).amax(2)
                value = (1 - diversity) * score - diversity * alike
            starts = value.topk(self.config.climbers, dim=1).indices
            chosen.append(self._climb(faces, starts, voices, diversity))
            with torch.no_grad():
                voices = torch.cat([voices, self.predict_voices(chosen[-1])[:, None]], 1)
            score = score.scatter(1, starts[:, :1], -2.0)  # the next voice starts elsewhere
        return torch.stack(chosen, 1)

    def _climb(self, faces: Tensor, starts: Tensor, others: Tensor, diversity: float) -> Tensor:
        """Returns the best speaker (m, dim) of the climbs from draws (m, climbers), given the voices `others`."""
        m, n = starts.shape
        component, u, radius = (rows[starts.flatten()] for rows in self._start)
        faces, others = faces.repeat_interleave(n, dim=0), others.repeat_interleave(n, dim=0)
        best_value, best = faces.new_full((m * n,), -torch.inf), faces.new_zeros(m * n, len(self.mean))
        for step in range(self.config.steps + 1):
            u.requires_grad_(True)
            e = self._speakers(component, u)
            voice = self.predict_voices(e)
            value = (self._model.project_voices(voice) * faces).sum(1)
            if others.shape[1]:
                value = (1 - diversity) * value - diversity * torch.einsum("nd,njd->nj", voice, others).amax(1)
            (gradient,) = torch.autograd.grad(value.sum(), u)
            with torch.no_grad():
                better = (value > best_value) & (self._allowed(e) | (step == 0))
                best_value, best = torch.where(better, value, best_value), torch.where(better[:, None], e, best)
                size = self.config.step_size * (1 - step / (self.config.steps + 1))
                u = u + size * radius[:, None] * F.normalize(gradient, dim=1)
                u = u * (radius / u.norm(dim=1).clamp_min(1e-12)).clamp(max=1)[:, None]
        first = best_value.reshape(m, n).argmax(1, keepdim=True)
        return best.reshape(m, n, -1).take_along_dim(first[..., None], 1)[:, 0].detach()

    def _tensor(self, x: np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(x, np.float32), device=self._device)

    def predict_voices(self, speakers: Tensor) -> Tensor:
        """Returns the smoothed predictions (n, d_voice), unit norm, of the voices of speakers (n, dim)."""
        if self._signature is None:
            return speakers
        if not self.config.smoothing:
            return self._signature(speakers)
        around = self._on_range(speakers + self.noise)  # (COPIES, n, dim)
        return F.normalize(self._signature(around).mean(0), dim=1)

    def _allowed(self, speakers: Tensor) -> Tensor:
        """Returns a mask (n,) of speakers (n, dim) that reach the floor and are not too similar to a known one."""
        likely = self.log_likelihood(speakers) >= self.floor
        directions = F.normalize(speakers, dim=-1) if self._generator.length_counts else speakers
        return likely & ((directions @ self.bank.T).amax(1) <= self._known_similarity + 1e-6)

    def _speakers(self, component: Tensor, u: Tensor) -> Tensor:
        """Returns the speakers (n, dim), on the encoder's range, at components (n,) and positions u (n, kept)."""
        e = self.mean + (self.means[component] + self.deviations[component] * u) @ self.basis
        return self._on_range(e)

    def _on_range(self, speakers: Tensor) -> Tensor:
        speakers = speakers.clamp_min(0) if self._generator.non_negative else speakers
        return speakers if self._generator.length_counts else F.normalize(speakers, dim=-1)

    def log_likelihood(self, speakers: Tensor) -> Tensor:
        """Returns the log-density (n,) of speakers (n, dim), as `SpeakerGenerator.log_likelihood` does."""
        z = (speakers - self.mean) @ self.basis.T
        square = z**2 @ self.precisions.T - 2 * z @ (self.means * self.precisions).T
        square = square + (self.means**2 * self.precisions).sum(1)
        return torch.logsumexp(self.peaks - 0.5 * square, dim=1)
