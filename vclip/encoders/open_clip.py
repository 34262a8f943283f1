"""CLIP models through open_clip: any architecture, pretrained tag or local checkpoint, with its own preprocessing.

Weights that cannot be loaded are an error; they are never replaced by random ones.
"""

import hashlib
import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import open_clip
import torch
from PIL import Image
from torch import Tensor

from vclip.device import torch_device, uploaded
from vclip.encoders.face_crop import CROP_RULE
from vclip.encoders.precision import full_precision
from vclip.errors import InputError

MAX_BATCH = 256
HUB_TIMEOUT_S = 10


class OpenClip:
    """The image tower and the text tower of an open_clip model."""

    gains_from_gpu = True

    def __init__(self, model: str, weights: str, device: str | None = None):
        """Loads a model.

        Args:
            model: an architecture that `open_clip.list_models` lists.
            weights: a pretrained tag, or the path of a checkpoint.
            device: "cpu", "cuda", ...; None selects a GPU if there is one.

        Raises:
            InputError: the model, tag or file does not exist, the hub cannot be reached, or the weights were trained
                with QuickGELU and the model does not use it.
        """
        _check(model, weights)
        self._name = model
        self.device = torch_device(device)
        try:
            loaded = open_clip.create_model_from_pretrained(model, pretrained=weights, device=self.device)
        except (RuntimeError, OSError, EOFError, ValueError, LookupError, pickle.UnpicklingError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise InputError(
                f"face encoder open_clip:{model}/{weights}: cannot load the weights ({reason})"
            ) from None
        self._model: Any = cast("tuple[Any, Any]", loaded)[0]
        self._model.eval().requires_grad_(False)
        own = self._model.visual.preprocess_cfg
        self.prepare = Resized(np.broadcast_to(own["size"], 2)[0], own["interpolation"])
        self._mean, self._std = (
            torch.tensor(own[name], device=self.device)[:, None, None] for name in ("mean", "std")
        )
        name = f"file-{_digest(weights)}" if Path(weights).is_file() else weights
        self.space = f"open_clip/{model}/{name}/{CROP_RULE}"
        self.dim = self._encoded(self.prepare(np.zeros((32, 32, 3), np.uint8))[None].copy()).shape[1]

    @torch.inference_mode()
    def embed(self, crops: Sequence[np.ndarray], batch_size: int = MAX_BATCH) -> np.ndarray:
        """Returns vectors (n, dim) float32, unit norm, for n crops (side, side, 3) uint8 RGB.

        Args:
            crops: the crops.
            batch_size: crops in one pass of the network, at most.
        """
        vectors = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(crops), batch_size):  # a million resized crops are not held at once
            vectors.append(self.embed_prepared([self.prepare(c) for c in crops[start : start + batch_size]]))
        return np.concatenate(vectors)

    @torch.inference_mode()
    def embed_prepared(self, prepared: Sequence[np.ndarray], batch_size: int = MAX_BATCH) -> np.ndarray:
        """Returns the vectors of `embed` for n crops that `prepare` has resized."""
        starts = range(0, len(prepared), batch_size)
        # A GPU computes one batch while the CPU stacks the next: only the last line waits.
        vectors = [self._encoded(np.stack(prepared[start : start + batch_size])) for start in starts]
        return torch.cat(vectors).cpu().numpy() if vectors else np.zeros((0, self.dim), np.float32)

    def _encoded(self, crops: np.ndarray) -> Tensor:
        """Returns the vectors (n, dim), unit norm, of resized crops (n, side, side, 3) uint8."""
        with full_precision(self.device):
            pixels = uploaded(crops, self.device).permute(0, 3, 1, 2).contiguous().float().div(255)
            features = self._model.encode_image(pixels.sub(self._mean).div(self._std))
            return torch.nn.functional.normalize(features, dim=1)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Returns vectors (n, dim) float32, unit norm, for n texts, cut to the model's context length."""
        tokens = open_clip.get_tokenizer(self._name)(list(texts)).to(self.device)
        with full_precision(self.device):
            features = self._model.encode_text(tokens)
            return torch.nn.functional.normalize(features, dim=1).cpu().numpy()


class Resized:
    """Resizes square crops as open_clip does, whose ways for other images agree on these; it can be pickled."""

    def __init__(self, side: int, interpolation: str):
        self._side, self._filter = int(side), Image.Resampling[interpolation.upper()]

    def __call__(self, crop: np.ndarray) -> np.ndarray:
        """Returns a crop (side, side, 3) uint8 RGB at the side of the network's input."""
        return np.asarray(Image.fromarray(crop).resize((self._side, self._side), self._filter))


def _check(model: str, weights: str) -> None:
    """Raises InputError, before anything is built or downloaded, for a model and weights that do not exist or fit."""
    spec = f"face encoder open_clip:{model}/{weights}"
    if model not in open_clip.list_models():
        raise InputError(f"{spec}: open_clip has no model '{model}'; see open_clip.list_models()")
    if Path(weights).is_file():
        return
    tags = open_clip.list_pretrained_tags_by_model(model)
    if weights not in tags:
        known = ", ".join(tags) or "none"
        raise InputError(f"{spec}: '{weights}' is neither a file nor a pretrained tag of that model (known: {known})")
    # open_clip only warns if the activation of the model differs from the one in training.
    trained = bool(open_clip.get_pretrained_cfg(model, weights).get("quick_gelu"))
    if trained and not (open_clip.get_model_config(model) or {}).get("quick_gelu"):
        raise InputError(f"{spec}: these weights need QuickGELU; use open_clip:{model}-quickgelu/{weights}")
    _check_hub(spec, open_clip.get_pretrained_cfg(model, weights).get("hf_hub", ""))


def _check_hub(spec: str, repository: str) -> None:
    """Raises InputError if the hub is needed and cannot be reached; open_clip itself would retry for 45 s."""
    import huggingface_hub
    from huggingface_hub.constants import HF_HUB_CACHE

    repository = repository.rstrip("/")
    cached = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "snapshots"
    if not repository or cached.is_dir():
        return
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        huggingface_hub.HfApi().model_info(repository, timeout=HUB_TIMEOUT_S)
    except Exception as error:  # the hub client's errors share no narrower base
        raise InputError(
            f"{spec}: the weights are not on this machine and the hub '{repository}' cannot be reached "
            f"({type(error).__name__}); go online once, name a local checkpoint instead of the tag, "
            f"or use --config offline"
        ) from error


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def open_clip_encoder(argument: str, device: str | None = None) -> OpenClip:
    """Returns the encoder that `MODEL/TAG` or `MODEL/PATH` names.

    Raises:
        InputError: the argument has another form, or as `OpenClip`.
    """
    model, _, weights = argument.partition("/")
    if not weights:
        raise InputError(f"face encoder 'open_clip:{argument}': expected open_clip:MODEL/TAG")
    return OpenClip(model, weights, device)
