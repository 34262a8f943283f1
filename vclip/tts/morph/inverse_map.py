"""From a speaker embedding to the controls of the `morph` voice that comes nearest to it.

The network and its inversion are those of `vclip.tts.inverse_map`.

Removing means (that of the morph voices from both sides, or each side's own), so that people do not all map to the
same voices, was tried with 261 LibriSpeech speakers and was not needed: the cosine of the requested and the obtained
embedding was .779 without it, .776 and .763 with it; the median rank of the requested speaker among the 261 was 1 or
2 in all cases. So no mean is removed, and the calibration holds no statistic of real people.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from vclip.errors import InputError
from vclip.tts.inverse_map import InverseMap, VoiceModel, sobol
from vclip.tts.morph import controls as morph_controls
from vclip.tts.morph.controls import Controls

HERE = Path(__file__).parent
RECALIBRATE = "run `python -m tools.calibrate_morph`"
GUESSES_LOG2 = 11
# 16 climbers with 60 smaller steps gain .001 of cosine (LibriSpeech as above), and take many times as long.
CLIMBERS = 4
STEPS = 16
AT_ONCE = 512


@dataclass(frozen=True)
class Calibration:
    """What the network was fitted on, and how well; saved beside its weights.

    Attributes:
        space: the space of the embeddings.
        hibari_version, hibari_sha256: the version of hibari-tts and the hash of its model file.
        ranges: the lowest and highest value of each control, in the order of the network's inputs.
        draws: the number of voices drawn from the ranges.
        sentences_per_draw: the number of sentences spoken by each.
        seed: the seed of the draws, the sentences and the fit.
        figures: measurements on voices that were held out.
    """

    space: str
    hibari_version: str
    hibari_sha256: str
    ranges: Mapping[str, tuple[float, float]]
    draws: int
    sentences_per_draw: int
    seed: int
    figures: Mapping[str, float]


class MorphMap(InverseMap[Controls]):
    """A fitted VoiceModel, inverted by gradient ascent."""

    climbers, steps, at_once = CLIMBERS, STEPS, AT_ONCE
    to_unit, from_unit = staticmethod(morph_controls.to_unit), staticmethod(morph_controls.from_unit)

    def __init__(self, model: VoiceModel, calibration: Calibration):
        self.calibration = calibration
        guesses = sobol(len(calibration.ranges), 0).random_base2(GUESSES_LOG2)
        super().__init__(model, calibration.ranges, torch.from_numpy(guesses).float().clamp(0.02, 0.98))

    def tensors(self) -> dict[str, Tensor]:
        """Returns the weights of the network."""
        return self.model.state_dict()


def save(morph_map: MorphMap, folder: Path) -> None:
    """Writes `morph.safetensors` (half precision) and `morph.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {k: v.half() for k, v in morph_map.model.state_dict().items()}
    (folder / "morph.safetensors").write_bytes(safetensors.torch.save(weights))
    (folder / "morph.json").write_text(json.dumps(asdict(morph_map.calibration), indent=2) + "\n")


def load(folder: Path = HERE, *, hibari_sha256: str) -> MorphMap:
    """Returns the map in a folder that `save` wrote; by default the one that ships with the package.

    Raises:
        InputError: a file is missing or damaged, or the calibration is for another hibari model or other ranges.
    """
    path = folder / "morph.json"
    try:
        read: dict[str, Any] = json.loads(path.read_text())
        ranges = {name: (low, high) for name, (low, high) in read.pop("ranges").items()}
        calibration = Calibration(**read, ranges=ranges)
        weights = safetensors.torch.load((folder / "morph.safetensors").read_bytes())
        model = VoiceModel(len(calibration.ranges))
        model.load_state_dict({k: v.float() for k, v in weights.items()})
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(f"calibration {path}: unreadable ({error}); {RECALIBRATE}") from None
    if calibration.hibari_sha256 != hibari_sha256:
        raise InputError(
            f"calibration {path}: made for the voice model {calibration.hibari_sha256[:12]}, found "
            f"{hibari_sha256[:12]}; install hibari-tts {calibration.hibari_version} or {RECALIBRATE}"
        )
    if calibration.ranges != morph_controls.RANGES:
        raise InputError(f"calibration {path}: made for other ranges of the controls; {RECALIBRATE}")
    return MorphMap(model, calibration)
