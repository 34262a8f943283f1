"""The `piper` backend: multi-speaker Piper voices (github.com/OHF-Voice/piper1-gpl), an ONNX file and its JSON.

`piper:en_US-libritts_r-medium.onnx` speaks as any of that voice's 904 speakers, and as any speaker between them: the
speaker table of the graph defines the space (see `speaker_table`). Each Piper voice speaks one of many languages.

Piper looks its speakers up by number and draws noise at random. `read_graph` changes the graph: the speaker vector
becomes an input, and the noise comes from one seeded array, so that equal requests give equal samples.

Tested with a small voice of random weights that piper-tts 1.8 exported; published voices were not available here. The
package is GPL-3, so it is an extra and is not installed by default.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unicodedata import combining

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vclip.errors import InputError
from vclip.onnx_session import open_session
from vclip.speakers.bank import SpeakerBank
from vclip.tts.languages import language_of_voice, language_to_speak
from vclip.tts.sentences import expect_known, not_english, speak, whole
from vclip.tts.speaker_table import SpeakerTable

SPEAKER, NUMBER = "speaker_vector", "sid"
NOISE = "vclip_noise"
NOISE_SAMPLES = 2**19  # at 192 channels it repeats after half a minute; sentences are shorter
INSTALL = "install the extra: pip install 'vclip[piper]'"
RANDOM_OPERATIONS = {"RandomNormal", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


@dataclass(frozen=True)
class VoiceGraph:
    """A graph with the inputs `input`, `input_lengths`, `scales` and `speaker_vector` (1, dim)."""

    model: bytes
    speakers: np.ndarray  # (S, dim) float32, the speaker table of the original graph


def read_graph(path: Path) -> VoiceGraph:
    """Returns the graph of a multi-speaker voice, changed to take a speaker vector and to use fixed noise.

    Raises:
        InputError: the file is unreadable, has one speaker, or is not built as Piper's voices are.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's exception for damaged files has no public name
        raise InputError(f"piper voice {path}: unreadable ({error}); expected an ONNX file") from None
    graph = model.graph
    speakers = _take_look_up(graph, path)
    if chance := sorted({node.op_type for node in graph.node} & RANDOM_OPERATIONS):
        raise InputError(f"piper voice {path}: found the operation {chance[0]}, expected RandomNormalLike alone")
    _fix_noise(graph)
    return VoiceGraph(model.SerializeToString(), speakers)


def _take_look_up(graph: onnx.GraphProto, path: Path) -> np.ndarray:
    """Replaces the look-up of speakers by an input, and returns the table."""
    number = next((given for given in graph.input if given.name == NUMBER), None)
    if number is None:
        raise InputError(f"piper voice {path}: found no input '{NUMBER}', expected a voice of several speakers")
    tables = {given.name: given for given in graph.initializer}
    looks = [node for node in graph.node if NUMBER in node.input]
    named = looks[0].input[0] if looks else ""
    alone = sum(named in node.input for node in graph.node) == len(looks) == 1
    if not alone or looks[0].op_type != "Gather" or named not in tables:
        raise InputError(f"piper voice {path}: expected one look-up of '{NUMBER}' in a table of speakers")
    table = numpy_helper.to_array(tables[named]).astype(np.float32)
    looked_up = looks[0].output[0]
    graph.initializer.remove(tables[named])
    graph.node.remove(looks[0])
    graph.input.remove(number)
    graph.input.append(helper.make_tensor_value_info(SPEAKER, TensorProto.FLOAT, [1, table.shape[1]]))
    for node in graph.node:
        node.input[:] = [SPEAKER if name == looked_up else name for name in node.input]
    return table


def _fix_noise(graph: onnx.GraphProto) -> None:
    """Replaces each RandomNormalLike by values of one seeded array, each starting at another place in it."""
    noise = np.random.default_rng(0).standard_normal(NOISE_SAMPLES).astype(np.float32)
    constants = {NOISE: noise, f"{NOISE}_size": np.int64(NOISE_SAMPLES), f"{NOISE}_step": np.int64(1)}
    nodes, drawn = [], 0
    for node in graph.node:
        if node.op_type != "RandomNormalLike":
            nodes.append(node)
            continue
        settings = {given.name: given.f for given in node.attribute if given.name in ("mean", "scale")}
        own = f"{NOISE}_{drawn}"
        constants[f"{own}_start"] = np.int64(drawn * NOISE_SAMPLES // 7)
        constants[f"{own}_mean"] = np.float32(settings.get("mean", 0.0))
        constants[f"{own}_scale"] = np.float32(settings.get("scale", 1.0))
        nodes += [
            helper.make_node("Size", [node.input[0]], [f"{own}_count"]),
            helper.make_node("Add", [f"{own}_start", f"{own}_count"], [f"{own}_end"]),
            helper.make_node("Range", [f"{own}_start", f"{own}_end", f"{NOISE}_step"], [f"{own}_at"]),
            helper.make_node("Mod", [f"{own}_at", f"{NOISE}_size"], [f"{own}_row"]),
            helper.make_node("Gather", [NOISE, f"{own}_row"], [f"{own}_flat"]),
            helper.make_node("Shape", [node.input[0]], [f"{own}_shape"]),
            helper.make_node("Reshape", [f"{own}_flat", f"{own}_shape"], [f"{own}_plain"]),
            helper.make_node("Mul", [f"{own}_plain", f"{own}_scale"], [f"{own}_scaled"]),
            helper.make_node("Add", [f"{own}_scaled", f"{own}_mean"], [node.output[0]]),
        ]
        drawn += 1
    del graph.node[:]
    graph.node.extend(nodes)
    if drawn:
        graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())


class Piper:
    """The Piper backend; implements `vclip.tts.base.TTS`.

    Args:
        path: the voice's ONNX file, with its settings beside it in `PATH.json`.

    Raises:
        InputError: a package or a file is missing, or the file is not a voice with several speakers.
    """

    def __init__(self, path: str):
        self.name = f"piper:{path}"
        try:
            from piper.config import PiperConfig
            from piper.voice import PiperVoice
        except ImportError as error:
            raise InputError(f"tts '{self.name}': needs the package {error.name}; {INSTALL}") from None
        settings, model = Path(f"{path}.json"), Path(path)
        try:
            told = json.loads(settings.read_text(encoding="utf-8"))
            config = PiperConfig.from_dict(told)
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
        family = told["language"].get("family") if isinstance(told.get("language"), dict) else None
        self.languages = (language_of_voice(family or config.espeak_voice),)
        self.made_of = {"piper": model.name, "piper_sha256": found}
        self._session = open_session(graph.model)
        self._reader = PiperVoice(self._session, config)
        # Piper warns about each unknown letter; the ones that matter raise an error here.
        logging.getLogger("piper.phoneme_ids").setLevel(logging.ERROR)

    def synthesize(self, text: str, speaker: np.ndarray, language: str = "") -> np.ndarray:
        """Returns speech (samples,) float32 at `sample_rate_hz` and -23 LUFS, as `TTS.synthesize` does."""
        return whole(self.parts(text, speaker, language), self.sample_rate_hz)

    def parts(self, text: str, speaker: np.ndarray, language: str = "") -> Iterator[np.ndarray]:
        """Yields the same speech in parts, as `TTS.parts` does."""
        spoken = language_to_speak(language, self.languages, self.name)
        row = self._table.row(speaker)
        return speak(text, self._ids, lambda ids: self._say(ids, row), self.sample_rate_hz, self.name, spoken)

    def known_speakers(self, count: int) -> SpeakerBank:
        """Returns the first `count` speakers of the voice, or all of them."""
        return self._table.bank(count)

    def _ids(self, sentence: str) -> list[int]:
        """Returns the network's input for a sentence, empty if the voice knows no letter or digit of it."""
        from piper.config import PhonemeType

        config = self._reader.config
        # Piper reads phonemes between double brackets; a text has none.
        parts = self._reader.phonemize(sentence.replace("[[", "[").replace("]]", "]"))
        phonemes = [phoneme for part in parts for phoneme in part]
        if config.phoneme_type == PhonemeType.TEXT:
            phonemes = [c if c in config.phoneme_id_map else c.lower() for c in phonemes]
            unknown = {c for c in phonemes if (c.isalnum() or combining(c)) and c not in config.phoneme_id_map}
            expect_known(sentence, unknown, self.name)
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
            SPEAKER: row[None],
        }
        return np.asarray(self._session.run(None, feeds)[0]).reshape(-1)
