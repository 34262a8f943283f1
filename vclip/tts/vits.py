"""The `vits` backend: multi-speaker VITS checkpoints of `transformers` (Kim et al., 2021), by folder or hub name.

`vits:kakao-enterprise/vits-vctk` speaks in the 109 voices of VCTK and in any voice between them: the model's speaker
table defines the space (see `speaker_table`). Noise has a fixed seed, so equal requests give equal samples.

Tested with small models of random weights; published weights were not available here.
"""

import hashlib
import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch.overrides import TorchFunctionMode

from vclip.device import torch_device
from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank
from vclip.tts.espeak import find_espeak
from vclip.tts.languages import language_of_voice, language_to_speak
from vclip.tts.sentences import expect_known, not_english, speak, whole
from vclip.tts.speaker_table import SpeakerTable

INSTALL = "install the extra: pip install 'vclip[vits]'"
# espeak marks words that it reads in another language, such as "(zh)".
LANGUAGE_FLAG = re.compile(r"\([a-z-]+\)")


class Vits:
    """The VITS backend; implements `vclip.tts.base.TTS`.

    Args:
        source: a folder that `save_pretrained` wrote, or a name on the hub.
        device: "cpu", "cuda", ...; None selects a GPU if there is one.

    Raises:
        InputError: a package is missing, or the source is not a complete multi-speaker VITS checkpoint.
    """

    def __init__(self, source: str, device: str | None = None):
        self.name = f"vits:{source}"
        model, self._tokenizer = _opened(source)
        self.made_of = {"vits": source, "vits_sha256": _digest(model)}
        self._device = torch_device(device)
        # The annotations of transformers do not cover the attributes used here.
        self._model: Any = model.to(self._device)
        if self._model.config.num_speakers < 2:
            raise InputError(f"tts '{self.name}': found a checkpoint of one speaker, expected several")
        rows = self._speakers().detach().cpu().numpy().copy()
        self._table = SpeakerTable(self.name, "vits", rows, [f"{source}#{i}" for i in range(len(rows))])
        self.space, self.dim = self._table.space, self._table.dim
        self.sample_rate_hz = int(self._model.config.sampling_rate)
        # transformers turns text into phonemes of English only; without phonemes, MMS names the language.
        self.languages = (language_of_voice("en" if self._tokenizer.phonemize else self._tokenizer.language),)

    def synthesize(self, text: str, speaker: np.ndarray, language: str = "") -> np.ndarray:
        """Returns speech (samples,) float32 at `sample_rate_hz` and -23 LUFS, as `TTS.synthesize` does."""
        return whole(self.parts(text, speaker, language), self.sample_rate_hz)

    def parts(self, text: str, speaker: np.ndarray, language: str = "") -> Iterator[np.ndarray]:
        """Yields the same speech in parts, as `TTS.parts` does."""
        spoken = language_to_speak(language, self.languages, self.name)
        row = torch.as_tensor(self._table.row(speaker), device=self._device)
        return speak(text, self._ids, lambda ids: self._say(ids, row), self.sample_rate_hz, self.name, spoken)

    def known_speakers(self, count: int) -> SpeakerBank:
        """Returns the first `count` speakers of the checkpoint, or all of them."""
        return self._table.bank(count)

    def _ids(self, sentence: str) -> list[int]:
        """Returns the network's input for a sentence, empty if the model knows no letter or digit of it."""
        tokenizer = self._tokenizer
        if tokenizer.phonemize:  # transformers reads all text as English
            expect_known(sentence, not_english(sentence), self.name)
        elif not tokenizer.is_uroman:
            plain = tokenizer.normalize_text(sentence) if tokenizer.normalize else sentence
            expect_known(sentence, {c for c in plain if c.isalnum() and c not in tokenizer.encoder}, self.name)
        prepared, _ = tokenizer.prepare_for_tokenization(sentence)
        known = [c for c in LANGUAGE_FLAG.sub("", prepared) if c in tokenizer.encoder]
        if not any(c.isalnum() for c in known):
            return []
        ids = tokenizer.convert_tokens_to_ids(known)
        if not tokenizer.add_blank:
            return ids
        with_blanks = [0] * (2 * len(ids) + 1)
        with_blanks[1::2] = ids
        return with_blanks

    def _speakers(self) -> torch.Tensor:
        """Returns the model's speaker table.

        transformers offers no way to speak with a vector, so `_say` writes the vector into row 0 and speaks as
        speaker 0. `VitsModel.embed_speaker` is an `nn.Embedding` in all versions from 4.48 to 5.23.
        """
        return self._model.embed_speaker.weight

    def _say(self, ids: list[int], row: torch.Tensor) -> np.ndarray:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]), _NoiseOfCpu():
            self._speakers()[0] = row
            torch.default_generator.manual_seed(0)
            spoken = self._model(input_ids=torch.tensor([ids], device=self._device), speaker_id=0)
            return spoken.waveform[0].cpu().numpy()


class _NoiseOfCpu(TorchFunctionMode):
    """Draws noise with the CPU's generator, so that a voice has the same noise on every device."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.randn_like:
            return func(*args, **(kwargs or {}))
        return func(args[0].cpu(), **(kwargs or {})).to(args[0].device)


def _opened(source: str) -> tuple[Any, Any]:
    tts = f"vits:{source}"
    try:
        from transformers import VitsModel, VitsTokenizer
        from transformers.utils import logging
    except ImportError:
        raise InputError(f"tts '{tts}': needs the package transformers; {INSTALL}") from None
    logging.disable_progress_bar()
    try:
        loaded: Any = VitsModel.from_pretrained(source, output_loading_info=True)
        model, info = loaded
        tokenizer = VitsTokenizer.from_pretrained(source)
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"tts '{tts}': {reason}; expected a VITS checkpoint of transformers") from None
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise InputError(f"tts '{tts}': {len(missing)} weights are missing, as {missing[0]}; expected all of them")
    if tokenizer.phonemize:
        if find_spec("phonemizer") is None:
            raise InputError(f"tts '{tts}': reads phonemes, which needs the package phonemizer; {INSTALL}")
        find_espeak(tts, INSTALL)
    if tokenizer.is_uroman and find_spec("uroman") is None:
        raise InputError(f"tts '{tts}': reads romanised text, which needs the package uroman; pip install uroman")
    return model.eval(), tokenizer


def _digest(model: torch.nn.Module) -> str:
    found = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        found.update(name.encode() + weights.contiguous().numpy().tobytes())
    return found.hexdigest()
