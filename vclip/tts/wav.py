"""Speech of any length as a 16-bit mono WAV file with a comment inside it.

A TTS yields speech in parts. The gain that brings the speech to EBU R 128's -23 LUFS is known only at the end (see
`loudness`), so the parts are kept until then: the first minutes in memory and the rest on disk (`StreamedSpeech`), so
that a book needs no more memory than a page. The file carries a RIFF INFO list: ISFT names the program, ICMT is the
comment.
"""

import struct
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from vclip.errors import InputError
from vclip.tts.loudness import Meter

IN_MEMORY_BYTES = 64 << 20  # eleven minutes at 24 kHz
CHUNK_BYTES = 4 << 20
LONGEST_BYTES = (4 << 30) - (1 << 20)  # of samples: sizes in a WAV file have 32 bits


class StreamedSpeech:
    """The samples of one utterance, kept in memory up to a limit and in a temporary file beyond it.

    Args:
        parts: the consecutive parts of the speech, (n,) float in -1..1 each.
        sample_rate_hz: the sample rate.
        in_memory_bytes: the size of float32 samples beyond which they move to a file.
        chunk_bytes: the size of the float32 chunks that `chunks` yields, a multiple of 4.

    Raises:
        InputError: a part is not finite or has another shape, or there are no samples.
    """

    def __init__(
        self,
        parts: Iterable[np.ndarray],
        sample_rate_hz: int,
        in_memory_bytes: int = IN_MEMORY_BYTES,
        chunk_bytes: int = CHUNK_BYTES,
    ):
        self.sample_rate_hz = sample_rate_hz
        self._chunk_bytes = chunk_bytes
        self.samples = 0
        meter = Meter(sample_rate_hz)
        self._file = tempfile.SpooledTemporaryFile(in_memory_bytes)  # noqa: SIM115 (as long as this lives)
        for part in parts:
            part = np.asarray(part)
            if part.ndim != 1 or not np.isfinite(part).all():
                raise InputError(f"expected finite samples of shape (n,), found {_described(part)}")
            meter.add(part)
            self._file.write(np.ascontiguousarray(part, np.float32).data)
            self.samples += len(part)
        if not self.samples:
            raise InputError("expected finite samples of shape (n,), found none")
        self._gain = np.float32(meter.gain())

    def __repr__(self) -> str:
        return f"StreamedSpeech({self.seconds:.1f} s at {self.sample_rate_hz} Hz)"

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.samples / self.sample_rate_hz

    def chunks(self) -> Iterator[np.ndarray]:
        """Yields the samples in chunks (n,) float32 at -23 LUFS, or quieter where they would clip."""
        self._file.seek(0)
        while read := self._file.read(self._chunk_bytes):
            yield np.frombuffer(read, np.float32) * self._gain

    def head(self, seconds: float) -> np.ndarray:
        """Returns the first `seconds` of the samples (n,) float32, or all of them, at the loudness of `chunks`."""
        self._file.seek(0)
        return np.frombuffer(self._file.read(4 * round(seconds * self.sample_rate_hz)), np.float32) * self._gain

    def pcm(self) -> Iterator[bytes]:
        """Yields the samples of `chunks` as little-endian 16-bit integers."""
        return (np.rint(chunk * 32767).astype("<i2").tobytes() for chunk in self.chunks())


def wav_parts(
    speech: StreamedSpeech, software: str, comment: str, longest_bytes: int = LONGEST_BYTES
) -> Iterator[bytes]:
    """Returns the content of a WAV file, in parts.

    Args:
        speech: the samples.
        software: the name of the program, for the ISFT chunk.
        comment: the text of the ICMT chunk.
        longest_bytes: the size of samples that the file may hold; by default the limit of the format.

    Raises:
        InputError: the speech is longer than a WAV file can hold.
    """
    size = 2 * speech.samples
    if size > longest_bytes:
        raise InputError(
            f"found {speech.seconds / 3600:.1f} h of speech, more than a WAV file holds; divide the text"
        )
    return chain([_head(size, speech.sample_rate_hz, software, comment)], speech.pcm())


# Chunks that other programs add and players do not play: metadata, markers and room.
_ADDED = {b"LIST", b"bext", b"iXML", b"axml", b"_PMX", b"id3 ", b"ID3 ", b"JUNK", b"PAD ", b"FLLR"}
_ADDED_LISTS = {b"INFO", b"adtl"}
_SIGNATURE = b"C2PA"  # at most one: the signed manifest


@dataclass(frozen=True)
class WavContents:
    """The INFO list and the samples of a WAV file."""

    comment: bytes  # the body of the ICMT chunk, without its end
    software: bytes  # the body of the ISFT chunk, without its end
    pcm: bytes  # the body of the data chunk
    sample_rate_hz: int
    problems: tuple[str, ...]  # where the structure is not that which `wav_parts` writes


def parse_wav(data: bytes) -> WavContents:
    """Returns the comment and the samples of the content of a WAV file, and what is wrong with its structure.

    A player may choose another chunk than this reader, or read a chunk in another way: so there must be one format,
    one piece of samples and one INFO list, in the form that `wav_parts` writes.

    Raises:
        KeyError, ValueError, struct.error: the data is not a WAV file with a comment, samples and a format.
    """
    if data[:4] != b"RIFF":
        raise ValueError("not a RIFF file")
    chunks, problems = _chunks(data[12:])
    if data[8:12] != b"WAVE":
        problems.append(f"its RIFF form is {_shown(data[8:12])}, expected WAVE")
    if (size := struct.unpack_from("<I", data, 4)[0]) != len(data) - 8:
        problems.append(f"it states {size + 8:,} bytes and has {len(data):,}")
    lists = [body for name, body in chunks if name == b"LIST"]
    by_name = {b"INFO": [body for body in lists if body[:4] == b"INFO"]}
    for name in (b"fmt ", b"data"):
        by_name[name] = [body for other, body in chunks if other == name]
    problems += [
        f"found {len(found)} chunks {_shown(name)}, expected one"
        for name, found in by_name.items()
        if len(found) != 1
    ]
    if (manifests := sum(name == _SIGNATURE for name, _ in chunks)) > 1:
        problems.append(f"found {manifests} chunks {_shown(_SIGNATURE)}, expected at most one")
    others = {name for name, _ in chunks} - {b"fmt ", b"data", _SIGNATURE} - _ADDED
    others |= {body[:4] for body in lists} - _ADDED_LISTS
    problems += [f"it has a chunk {_shown(name)}, which may change what is heard" for name in sorted(others)]
    info, more = _chunks(by_name[b"INFO"][0][4:] if by_name[b"INFO"] else b"")
    problems += more
    if sum(name == b"ICMT" for name, _ in info) > 1:
        problems.append("it has several comments, expected one")
    texts, kind = {name: body.rstrip(b"\0") for name, body in reversed(info)}, by_name[b"fmt "][0]
    problems += [
        f"its text {_shown(name)} does not end with one zero"
        for name, body in info
        if name in (b"ISFT", b"ICMT") and body != body.rstrip(b"\0") + b"\0"
    ]
    rate_hz = struct.unpack_from("<I", kind, 4)[0]
    if kind != _format(rate_hz):
        problems.append("its format is not 16-bit PCM of one channel")
    return WavContents(texts[b"ICMT"], texts.get(b"ISFT", b""), by_name[b"data"][0], rate_hz, tuple(problems))


def _head(size: int, sample_rate_hz: int, software: str, comment: str) -> bytes:
    """Returns the content of a WAV file before its `size` bytes of samples."""
    info = b"INFO" + _chunk(b"ISFT", software.encode() + b"\0") + _chunk(b"ICMT", comment.encode() + b"\0")
    kind = _format(sample_rate_hz)
    before = b"WAVE" + _chunk(b"fmt ", kind) + _chunk(b"LIST", info) + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", len(before) + size) + before


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def _format(sample_rate_hz: int) -> bytes:
    """Returns the body of the `fmt ` chunk: PCM, one channel, samples and bytes a second, bytes and bits a sample."""
    bytes_per_s = 2 * sample_rate_hz & 0xFFFFFFFF  # a file may state any rate
    return struct.pack("<HHIIHH", 1, 1, sample_rate_hz, bytes_per_s, 2, 16)


def _chunks(data: bytes) -> tuple[list[tuple[bytes, bytes]], list[str]]:
    """Returns the name and the body of each chunk, and where the chunks do not fill the data."""
    at, found, problems = 0, [], []
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        found.append((name, data[at + 8 : at + 8 + size]))
        end = at + 8 + size
        at = end + size % 2
        if at > len(data):
            problems.append(f"its chunk {_shown(name)} ends beyond the file")
        elif size % 2 and data[end]:
            problems.append(f"its chunk {_shown(name)} has no padding")
    if at < len(data):
        problems.append(f"{len(data) - at} bytes follow its last chunk")
    return found, problems


def _shown(name: bytes) -> str:
    return repr(name.decode("latin1"))


def _described(part: np.ndarray) -> str:
    finite = "" if np.isfinite(part).all() else ", some not finite"
    return f"shape {part.shape}{finite}"
