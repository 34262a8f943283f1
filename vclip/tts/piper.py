"""The `piper` backend: multi-speaker Piper voices (github.com/OHF-Voice/piper1-gpl), an ONNX file and its JSON.

`piper:en_US-libritts_r-medium.onnx` speaks in that voice's 904 speakers and in all that lie between them: the table
in the graph is the space (`speaker_table`, `piper_graph`). Piper has voices in many languages, one each.

Tried with a small voice of random weights that piper-tts 1.8 exported; published voices could not be had where this
was written. The package is GPL-3, so it is an extra and never installed unasked.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from unicodedata import combining

import numpy as np

from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank
from vclip.tts.sentences import expect_known, not_english, speak, whole
from vclip.tts.speaker_table import SpeakerTable

INSTALL = "install the extra: pip install 'vclip[piper]'"


class Piper:
    """Speaks with a Piper voice; obeys `vclip.tts.protocol.TTS`.

    Args:
        path: the voice's ONNX file; its settings lie beside it as `PATH.json`.

    Raises:
        InputError: a package or a file is missing, or it is no voice of several speakers.
    """

    def __init__(self, path: str):
        self.name = f"piper:{path}"
        try:
            import onnxruntime
            from piper.config import PiperConfig
            from piper.voice import PiperVoice

            from vclip.tts.piper_graph import read_graph
        except ImportError as error:
            raise InputError(f"tts '{self.name}': needs the package {error.name}; {INSTALL}") from None
        settings, model = Path(f"{path}.json"), Path(path)
        try:
            config = PiperConfig.from_dict(json.loads(settings.read_text(encoding="utf-8")))
            found = hashlib.sha256(model.read_bytes() + settings.read_bytes()).hexdigest()
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else error
            raise InputError(
                f"tts '{self.name}': {reason}; expected a Piper voice and its settings {settings.name}"
            ) from None
        graph = read_graph(model)
        names = {number: name for name, number in config.speaker_id_map.items()}
        ids = [f"{model.stem}#{names.get(i, i)}" for i in range(len(graph.speakers))]
        self._table = SpeakerTable(self.name, "piper", graph.speakers, ids)
        self.space, self.dim = self._table.space, self._table.dim
        self.sample_rate_hz = config.sample_rate
        self.made_of = {"piper": model.name, "piper_sha256": found}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(graph.model, options, providers=["CPUExecutionProvider"])
        self._reader = PiperVoice(self._session, config)
        # It warns of each unknown letter; those that matter are an error here.
        logging.getLogger("piper.phoneme_ids").setLevel(logging.ERROR)

    def synthesize(self, text: str, speaker: np.ndarray) -> np.ndarray:
        """Returns (samples,) float32 at `sample_rate_hz` and -23 LUFS.

        Args:
            text: in the language of the voice; any length.
            speaker: (dim,) in `space`; only its direction counts.

        Raises:
            InputError: the text has nothing to speak or letters that the voice does not know, or the vector has
                another size or is not finite.
        """
        return whole(self.parts(text, speaker), self.sample_rate_hz)

    def parts(self, text: str, speaker: np.ndarray) -> Iterator[np.ndarray]:
        """Yields the same speech in parts, before its loudness is set; raises as `synthesize` does."""
        row = self._table.row(speaker)
        return speak(text, self._ids, lambda ids: self._say(ids, row), self.sample_rate_hz, self.name)

    def known_speakers(self, count: int) -> SpeakerBank:
        """Returns the first `count` speakers of the voice, or all."""
        return self._table.bank(count)

    def _ids(self, sentence: str) -> list[int]:
        """Returns the model's input of a sentence; empty where it holds nothing that the voice knows."""
        from piper.config import PhonemeType

        config = self._reader.config
        # Between double brackets Piper expects phonemes; a text has none.
        parts = self._reader.phonemize(sentence.replace("[[", "[").replace("]]", "]"))
        phonemes = [phoneme for part in parts for phoneme in part]
        if config.phoneme_type == PhonemeType.TEXT:
            phonemes = [c if c in config.phoneme_id_map else c.lower() for c in phonemes]
            strange = {c for c in phonemes if (c.isalnum() or combining(c)) and c not in config.phoneme_id_map}
            expect_known(sentence, strange, self.name)
        elif config.espeak_voice.startswith("en"):
            expect_known(sentence, not_english(sentence), self.name)
        spoken = any(p in config.phoneme_id_map and any(c.isalnum() for c in p) for p in phonemes)
        return self._reader.phonemes_to_ids(phonemes) if spoken else []

    def _say(self, ids: list[int], row: np.ndarray) -> np.ndarray:
        config = self._reader.config
        feeds = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array([config.noise_scale, config.length_scale, config.noise_w_scale], np.float32),
            "speaker_vector": row[None],
        }
        return self._session.run(None, feeds)[0].reshape(-1)
