"""The streams of a file, read from its headers with PyAV in a child process (see `headers`).

One child reads all files of a worker; it starts with the first file and is replaced when it dies.
`ffmpeg.probe` would need an ffprobe, which imageio-ffmpeg does not ship.

The clock: second 0 is the file's earliest timestamp, as for players and `ffmpeg -ss`. Both streams keep their place
on it, so a stream that starts late is not moved to the front.
"""

import atexit
import json
import os
import select
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.extraction.config import MediaConfig
from pipelines.extraction.video.limits import MediaError, dies_with_parent, ended_by, limit_files, limit_memory

SCRIPT = Path(__file__).with_name("headers.py")

# ISO 639: the code of two letters, the code of part 2/T and, where it differs, of part 2/B. Matroska writes `ger`,
# MP4 `deu`, others `de` or `de-AT`; all are German.
_CODES = """
aa aar, ab abk, ae ave, af afr, ak aka, am amh, an arg, ar ara, as asm, av ava, ay aym, az aze, ba bak, be bel,
bg bul, bi bis, bm bam, bn ben, bo bod tib, br bre, bs bos, ca cat, ce che, ch cha, co cos, cr cre, cs ces cze,
cu chu, cv chv, cy cym wel, da dan, de deu ger, dv div, dz dzo, ee ewe, el ell gre, en eng, eo epo, es spa, et est,
eu eus baq, fa fas per, ff ful, fi fin, fj fij, fo fao, fr fra fre, fy fry, ga gle, gd gla, gl glg, gn grn, gu guj,
gv glv, ha hau, he heb, hi hin, ho hmo, hr hrv, ht hat, hu hun, hy hye arm, hz her, ia ina, id ind, ie ile, ig ibo,
ii iii, ik ipk, io ido, is isl ice, it ita, iu iku, ja jpn, jv jav, ka kat geo, kg kon, ki kik, kj kua, kk kaz,
kl kal, km khm, kn kan, ko kor, kr kau, ks kas, ku kur, kv kom, kw cor, ky kir, la lat, lb ltz, lg lug, li lim,
ln lin, lo lao, lt lit, lu lub, lv lav, mg mlg, mh mah, mi mri mao, mk mkd mac, ml mal, mn mon, mr mar, ms msa may,
mt mlt, my mya bur, na nau, nb nob, nd nde, ne nep, ng ndo, nl nld dut, nn nno, no nor, nr nbl, nv nav, ny nya,
oc oci, oj oji, om orm, or ori, os oss, pa pan, pi pli, pl pol, ps pus, pt por, qu que, rm roh, rn run, ro ron rum,
ru rus, rw kin, sa san, sc srd, sd snd, se sme, sg sag, si sin, sk slk slo, sl slv, sm smo, sn sna, so som,
sq sqi alb, sr srp, ss ssw, st sot, su sun, sv swe, sw swa, ta tam, te tel, tg tgk, th tha, ti tir, tk tuk, tl tgl,
tn tsn, to ton, tr tur, ts tso, tt tat, tw twi, ty tah, ug uig, uk ukr, ur urd, uz uzb, ve ven, vi vie, vo vol,
wa wln, wo wol, xh xho, yi yid, yo yor, za zha, zh zho chi, zu zul
"""
_GROUPS = [entry.split() for entry in _CODES.split(",")]
_CANONICAL = {code: group[0] for group in _GROUPS for code in group}


def same_language(a: str, b: str) -> bool:
    """Returns whether two tags name the same language, whatever their regions and scripts.

    Example:
        >>> same_language("ger", "de-AT")
        True
    """
    return _canonical(a) == _canonical(b)


def _canonical(tag: str) -> str:
    code = tag.strip().lower().replace("_", "-").split("-")[0]
    return _CANONICAL.get(code, code)


# The first bytes of text that names other files.
PLAYLISTS = {b"#EXTM3U": "HLS playlist", b"ffconcat": "ffconcat list", b"<?xml": "XML file (a DASH manifest?)"}
JPEG = b"\xff\xd8\xff"
MXF = b"\x06\x0e\x2b\x34"


@dataclass(frozen=True)
class AudioStream:
    """One audio stream of a file."""

    index: int  # among all streams
    number: int  # among the audio streams, as `media.audio` counts
    language: str
    channels: int
    layout: str  # of the channels, as "stereo" or "5.1(side)"; "9 channels" where the file does not say


@dataclass(frozen=True)
class MediaProbe:
    """The streams of a file. Of several video streams it is the default of the container, else the first."""

    format: str  # ffmpeg's name of the container
    duration_s: float  # of the video stream, as declared; 0 where the file does not say
    video_index: int | None  # index among all streams; None where there is no such stream
    video_start_s: float
    side_px: float  # the longer side of a frame as displayed
    width_px: int  # of a frame as coded; 0 where there is none
    height_px: int
    rate_hz: float  # frames per second; 0 where the file does not say
    transfer: str  # "pq" or "hlg" where the frames are HDR, else ""
    interlaced: bool
    audio_streams: tuple[AudioStream, ...]  # the chosen one first; the others only where `media.audio` is empty

    @property
    def audio_index(self) -> int | None:
        """Index of the chosen audio stream among all streams; None where there is none."""
        return self.audio_streams[0].index if self.audio_streams else None


def probe_media(path: str | Path, config: MediaConfig) -> MediaProbe:
    """Returns the streams of a file, from its headers.

    Raises:
        MediaError: there is no such file, ffmpeg does not know the container, the file only names other files, has
            no audio stream that matches `config.audio`, or larger frames than `config.max_picture_mpx`.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MediaError("a folder, not a file" if stat.S_ISDIR(status.st_mode) else "not a regular file")
        if status.st_size == 0:
            raise MediaError("the file is empty (0 bytes)")
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror or error})") from None
    found = read_headers(str(Path(path).absolute()), config)
    if "error" in found:
        if head.startswith(JPEG):
            raise MediaError("a photo (JPEG), neither video nor audio")
        playlist = next((name for start, name in PLAYLISTS.items() if head.startswith(start)), None)
        if playlist or found["refused"]:
            raise MediaError(f"no video itself but a {playlist or 'list'}, which names other files")
        # Of MXF joined to MXF, ffmpeg refuses all.
        name = "mxf" if head.startswith(MXF) else ""
        raise MediaError(f"not a readable video ({found['error']}, {status.st_size} bytes)", name)
    return probe_of(found, config)


def probe_of(found: dict[str, Any], config: MediaConfig) -> MediaProbe:
    """Returns the streams of a file from what `read_headers` returned; raises MediaError as `probe_media`."""
    streams = found["streams"]
    if not streams:
        raise MediaError(f"neither video nor audio in it (format {found['format']})")
    video = _choose([s for s in streams if s["kind"] == "video" and not s.get("cover")])
    every_audio = [s for s in streams if s["kind"] == "audio"]
    audio = _choose_audio(every_audio, config.audio)
    for stream in (video, audio):
        if stream and not stream["decodable"]:
            raise MediaError(f"the {stream['kind']} cannot be decoded (codec {stream['codec']})", found["format"])
    if video and (mpx := video["width_px"] * video["height_px"] / 1e6) > config.max_picture_mpx:
        size = f"{video['width_px']}x{video['height_px']}"
        raise MediaError(
            f"frames of {size} ({mpx:.0f} megapixels), more than {config.max_picture_mpx:g} (media.max_picture_mpx)"
        )
    video_start_s = _start_s(video, found["start_s"])
    # The length of the video stream, where it is declared: the audio may be longer.
    own_s = video_start_s + video["duration_s"] if video and video["duration_s"] > 0 else 0.0
    return MediaProbe(
        format=found["format"],
        duration_s=own_s or max(found["duration_s"], 0.0),
        video_index=video["index"] if video else None,
        video_start_s=video_start_s,
        side_px=max(video["width_px"] * video["pixel_aspect"], video["height_px"]) if video else 0.0,
        width_px=video["width_px"] if video else 0,
        height_px=video["height_px"] if video else 0,
        rate_hz=video["rate_hz"] if video else 0.0,
        transfer=video["transfer"] if video else "",
        interlaced=bool(video and video["interlaced"]),
        audio_streams=_audio_streams(audio, every_audio, bool(config.audio)),
    )


def _audio_streams(
    chosen: dict[str, Any] | None, streams: list[dict[str, Any]], named: bool
) -> tuple[AudioStream, ...]:
    if chosen is None:
        return ()
    others = [] if named else [s for s in streams if s["decodable"] and s is not chosen]
    return tuple(
        AudioStream(s["index"], streams.index(s), s["language"], s["channels"], s["layout"])
        for s in [chosen, *others]
    )


def _choose(streams: list[dict[str, Any]]) -> dict[str, Any] | None:
    usable = [s for s in streams if s["decodable"]]
    default = [s for s in usable if s["default"]]
    return next(iter(default + usable + streams), None)


def _choose_audio(streams: list[dict[str, Any]], wanted: str) -> dict[str, Any] | None:
    if not wanted or not streams:
        return _choose(streams)
    if wanted.isdecimal():
        chosen = streams[int(wanted) : int(wanted) + 1]
    else:
        chosen = [s for s in streams if same_language(s["language"], wanted)]
    if not chosen:
        listed = ", ".join(f"{i}: {s['language'] or 'no language'}" for i, s in enumerate(streams))
        raise MediaError(f"no audio stream '{wanted}' (media.audio); found {listed}")
    return _choose(chosen)


def _start_s(stream: dict[str, Any] | None, container_start_s: float) -> float:
    if stream is None or stream["start_s"] is None:
        return 0.0
    return max(0.0, stream["start_s"] - container_start_s)


def read_headers(path: str, config: MediaConfig) -> dict[str, Any]:
    """Returns the headers of a file, see `headers.headers`.

    Raises:
        MediaError: reading takes longer than `config.open_limit_s`, or the child dies of the file.
    """
    return _headers.ask({"path": path}, config, "the headers")


class SharedReader:
    """The child process of a worker for one script; it starts when it is first needed.

    Args:
        script: the Python file or folder that it runs.
    """

    def __init__(self, script: Path) -> None:
        self._script, self._lock = script, threading.Lock()
        self._reader: HeaderReader | None = None

    def ask(
        self, request: dict[str, Any], config: MediaConfig, what: str, file_limit_bytes: int | None = None
    ) -> dict[str, Any]:
        """Returns the child's answer, see `HeaderReader.ask`."""
        with self._lock:
            if self._reader is None or not self._reader.usable():
                if self._reader is not None:
                    self._reader.close()  # its pipes stay open where the child died by itself
                self._reader = HeaderReader(self._script)
                atexit.register(self._reader.close)
            return self._reader.ask(request, config, what, file_limit_bytes)


_headers = SharedReader(SCRIPT)


class HeaderReader:
    """One child process.

    Args:
        script: the Python file or folder that it runs.
    """

    def __init__(self, script: Path = SCRIPT) -> None:
        # -P keeps the script's folder off the import path: modules there have names of packages, such as `ffmpeg`.
        self._process = subprocess.Popen(
            [*dies_with_parent(), sys.executable, "-P", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        self._owner = os.getpid()
        self._text = b""  # of lines that were not asked for yet

    def usable(self) -> bool:
        """Returns whether the child lives and is ours: a forked worker must not share its parent's pipes."""
        return self._owner == os.getpid() and self._process.poll() is None

    def read(self, path: str, config: MediaConfig) -> dict[str, Any]:
        """Returns the headers of a file; raises MediaError as `read_headers`."""
        return self.ask({"path": path}, config, "the headers")

    def ask(
        self, request: dict[str, Any], config: MediaConfig, what: str, file_limit_bytes: int | None = None
    ) -> dict[str, Any]:
        """Returns the child's answer to a request.

        Args:
            request: JSON values.
            config: limits of memory, and of the time without an answer or the word that work goes on.
            what: what is read, for messages.
            file_limit_bytes: most bytes of a file that the child writes.

        Raises:
            MediaError: the child is silent for longer than `config.open_limit_s`, or dies.
        """
        assert self._process.stdin is not None
        limit_memory(self._process.pid, config.memory_limit_mb)
        if file_limit_bytes is not None:
            limit_files(self._process.pid, file_limit_bytes)
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            while True:
                line = self._line(config.open_limit_s)
                answer = json.loads(line) if line.endswith(b"\n") else {}
                if answer.keys() != {"at"}:
                    break
        except BrokenPipeError:
            line, answer = b"", {}
        except TimeoutError:
            self.close()
            raise MediaError(f"{what} could not be read within {config.open_limit_s:g} s") from None
        if not line.endswith(b"\n"):
            code = self._process.wait()
            self.close()
            raise MediaError(f"reading {what} ended {ended_by(code)}")
        return answer

    def _line(self, limit_s: float) -> bytes:
        assert self._process.stdout is not None
        deadline_s = time.monotonic() + limit_s
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        while b"\n" not in self._text:
            if not poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
                raise TimeoutError
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                break
            self._text += piece
        line, end, self._text = self._text.partition(b"\n")
        return line + end

    def close(self) -> None:
        """Ends the child."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        atexit.unregister(self.close)
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
