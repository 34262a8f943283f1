"""`vclip fit-speakers`: fits the speaker generator to the known speakers of speech files, a store or a TTS."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.extraction.config import MediaConfig
from pipelines.extraction.speech.recordings import AUDIO_SUFFIXES, read_recording
from pipelines.files.folders import APPLE_DOUBLE, existing
from pipelines.files.tables import read_columns
from pipelines.progress import say, step, warn
from pipelines.wording import count, none_usable
from stores import Store
from vclip import checkpoint
from vclip.audio import prepare_speech
from vclip.encoders import VOICE_ENCODERS, open_voice_encoder
from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank, bank_of_utterances
from vclip.speakers.generator import KIND as GENERATOR
from vclip.speakers.generator_fit import GeneratorMetrics, fit_generator
from vclip.tables import nfc
from vclip.tts import TTS, open_tts, resolved_tts
from vclip.tts.base import EmbedsSpeech

EMBED_BATCH = 16
TTS_SPEAKERS = 500  # requested from a TTS whose speakers are unlimited


def fit_speakers(
    out: Path,
    config: Config,
    speech: Path | None = None,
    store_uri: str | None = None,
    tts: str | None = None,
    record: str | None = None,
    face_space: str | None = None,
    voice_space: str | None = None,
) -> GeneratorMetrics:
    """Fits the speaker generator to known speakers, writes it to `out`/generator and returns its metrics.

    One of `speech`, `store_uri` and `tts` names the known speakers. With both `speech` and `tts`, the TTS embeds the
    speech.

    Args:
        out: the folder to write.
        config: its sections `speakers` and `encoders`.
        speech: a folder of speech.
        store_uri: a store; the people in it are the speakers.
        tts: the spec of a TTS: its known speakers, or with `speech` the speaker vectors that it gives to the speech.
        record: with `tts`, a store whose table `speakers` receives these speakers.
        face_space, voice_space: the spaces of the vectors of `store_uri`; None if it has one of each. The speakers
            are made of the voices; the faces help to cluster clips without an identity.

    Raises:
        InputError, StoreError: none or several sources are given, a source has no usable speech or too few speakers,
            or `record` is given without `tts` or is not a store.
    """
    if (face_space or voice_space) and not store_uri:
        raise InputError("fit-speakers: found --face-space or --voice-space without --store; they choose its vectors")
    if record and not tts:
        raise InputError("fit-speakers: found --record without --tts; a store records the known speakers of a TTS")
    tts = resolved_tts(tts) if tts else tts
    recording = Store.open(record) if record else None
    checkpoint.check_free(Path(out) / "generator", GENERATOR)
    given = [source for source in (speech, store_uri, tts) if source]
    if len(given) != 1 and (store_uri or not given):
        raise InputError(
            f"fit-speakers: found {len(given)} of --speech, --store and --tts, expected one, or --speech with --tts"
        )
    if speech and tts:
        bank, encoders = bank_of_folder(speech, config, speaker_encoder(open_tts(tts))), {}
    elif speech:
        bank = bank_of_folder(speech, config)
        encoders = {bank.space: VOICE_ENCODERS.record(config.encoders.voice)}
    elif store_uri:
        bank = bank_of_store(store_uri, face_space, voice_space)
        encoders = {space: spec for space, spec in Store.open(store_uri).encoders.items() if space == bank.space}
    else:
        bank, encoders = open_tts(tts or "").known_speakers(TTS_SPEAKERS), {}
    generator, metrics = fit_generator(bank, config.speakers)
    made_by = {"encoders": encoders, "config": config.model_dump(), "speakers": " ".join(map(str, given))}
    generator.save(Path(out) / "generator", metrics.to_json(), made_by)
    if recording and tts:
        record_speakers(recording, tts, bank)
    return metrics


def record_speakers(store: Store, tts: str, bank: SpeakerBank) -> None:
    """Writes the known speakers of a TTS to the table `speakers` of a store; replaces those with the same ids.

    Args:
        store: the store.
        tts: the spec of the TTS; speakers get the id `TTS/NAME`.
        bank: the known speakers of the TTS.
    """
    with store.run({"job": "fit-speakers", "tts": tts}, {}) as run:
        shared = {"run_id": run.run_id, "tts": tts, "space": bank.space}
        store.add_speakers(
            [
                shared | {"speaker_id": f"{tts}/{name}", "gender": gender or None, "vector": vector}
                for name, gender, vector in zip(
                    bank.speaker_id.tolist(), bank.gender.tolist(), bank.vectors, strict=True
                )
            ]
        )
        run.summary = {"speakers": len(bank)}
    say(f"store {store.uri}: recorded {count(len(bank), 'speaker')} of {tts}")


def bank_of_store(uri: str, face_space: str | None = None, voice_space: str | None = None) -> SpeakerBank:
    """Returns the people of a store as known speakers; the vector of each is the mean direction of their voices.

    Args:
        uri: the store.
        face_space, voice_space: the spaces to read; None if the store has one of each.

    Raises:
        InputError, StoreError: there is no store, it has no pairs, or a space must be named.
    """
    from pipelines.association.pairs import pair_spaces, read_pairs

    store = Store.open(uri)
    spaces = pair_spaces(store, face_space, voice_space)
    pairs = read_pairs(store, spaces=spaces)
    gender = dict(zip(pairs.identity, pairs.gender, strict=True))
    speaker = pairs.identity[pairs.voice_clip].tolist()
    return bank_of_utterances(spaces[1], speaker, pairs.voices, [gender[name] for name in speaker])


@dataclass(frozen=True)
class SpeakerEncoder:
    """Embeds speech as speaker vectors: a voice encoder, or a TTS with its own speaker space."""

    space: str
    sample_rate_hz: int
    embed: Callable[[Sequence[np.ndarray]], np.ndarray]
    length_counts: bool = False


def speaker_encoder(tts: TTS) -> SpeakerEncoder:
    """Returns the encoder of a TTS that embeds speech in its own speaker space; raises InputError for others."""
    if not isinstance(tts, EmbedsSpeech):
        raise InputError(
            f"fit-speakers: found --speech with --tts {tts.name}, which cannot embed speech; expected a TTS with "
            "`embed_speech` (docs/extending.md), or one of the two options"
        )
    return SpeakerEncoder(tts.space, tts.sample_rate_hz, tts.embed_speech, tts.length_counts)


def bank_of_folder(folder: Path, config: Config, encoder: SpeakerEncoder | None = None) -> SpeakerBank:
    """Returns the speakers of a folder of speech; unusable files are left out and reported.

    Args:
        folder: see `list_speech`.
        config: its section `extraction.media`, and `encoders.voice` if there is no encoder.
        encoder: embeds the speech; None for the voice encoder of the configuration.

    Raises:
        InputError: the folder is missing or has no usable speech.
    """
    files = list_speech(folder)
    if encoder is None:
        voices = open_voice_encoder(config.encoders.voice, None)
        encoder = SpeakerEncoder(voices.space, voices.sample_rate_hz, voices.embed)
    media = config.extraction.media
    vectors, used, unusable, in_part = [], [], [], []
    with step("embed speech", len(files), "utterances") as progress:
        for start in range(0, len(files), EMBED_BATCH):
            batch = files[start : start + EMBED_BATCH]
            read = [(file, _read_speech(file[0], encoder.sample_rate_hz, media, unusable, in_part)) for file in batch]
            speech = [(file, samples) for file, samples in read if samples is not None]
            used += [file for file, _ in speech]
            vectors.append(encoder.embed([samples for _, samples in speech]))
            progress.advance(len(batch))
    if unusable:
        warn(f"speech {folder}: left out {len(unusable)} of {count(len(files), 'file')}; the first: {unusable[0]}")
    if in_part:
        say(f"speech {folder}: read in part {len(in_part)} of {count(len(files), 'file')}; the first: {in_part[0]}")
    if not used:
        raise InputError(f"speech {folder}: {none_usable(len(files), 'file')}; the first: {unusable[0]}")
    _, speaker, gender = zip(*used, strict=True)
    return bank_of_utterances(encoder.space, speaker, np.concatenate(vectors), gender, encoder.length_counts)


def _read_speech(
    path: Path, sample_rate_hz: int, media: MediaConfig, unusable: list[str], in_part: list[str]
) -> np.ndarray | None:
    """Returns the samples (n,) of a file at a sample rate, or None after adding the reason to `unusable`."""
    try:
        speech = read_recording(str(path), media, sample_rate_hz)
    except InputError as error:
        unusable.append(str(error))
        return None
    if speech.note:
        in_part.append(f"audio {path}: {speech.note}")
    samples = prepare_speech(speech.samples, speech.rate_hz, sample_rate_hz)
    if not samples.any() or not np.isfinite(samples).all():
        unusable.append(f"audio {path}: found silence, expected speech")
        return None
    return samples


def list_speech(folder: Path) -> list[tuple[Path, str, str]]:
    """Returns (file, speaker, gender) for all speech in a folder.

    A CSV in the folder names the speakers, in the columns `file`, `speaker` and optionally `gender`. Without a CSV,
    each subfolder is a speaker, and so is each file outside of subfolders.

    Raises:
        InputError: the folder is missing or has no audio files.
    """
    if not folder.is_dir():
        raise InputError(f"speech {folder}: no such folder; expected audio files in a folder per speaker, or a CSV")
    tables = sorted(path for path in folder.glob("*.csv") if not path.name.startswith(APPLE_DOUBLE))
    if len(tables) > 1:
        raise InputError(f"speech {folder}: found {len(tables)} CSV files, expected at most one")
    if tables:
        rows = read_columns(tables[0], ["file", "speaker"], ["gender"])
        if bad := next((row for row in rows if row.problem), None):
            raise InputError(f"table {tables[0]}, row {bad.number}: {bad.problem}")
        return [
            (
                Path(existing(str(folder / row.values["file"]))),
                nfc(row.values["speaker"]),
                row.values.get("gender", ""),
            )
            for row in rows
        ]
    found = (path for path in folder.rglob("*") if not path.name.startswith(APPLE_DOUBLE))
    files = sorted(path for path in found if path.suffix.lower() in AUDIO_SUFFIXES)
    if not files:
        raise InputError(f"speech {folder}: found no audio; expected files such as .wav, .flac or .mp3")
    if any(path.parent == folder for path in files):
        say(f"speech {folder}: found no CSV and no folder per speaker; each file counts as a speaker of its own")
    return [(path, path.relative_to(folder).parts[0], "") for path in files]
