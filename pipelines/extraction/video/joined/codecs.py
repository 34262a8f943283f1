"""What a decoder must know of a stream, and whether that of one file may follow that of another."""

from dataclasses import dataclass
from typing import Any

# Codecs whose key frames tell a decoder all, so that each part may have its own settings; and those where what a
# decoder must know can be written before each key frame.
SELF_CONTAINED = {"vp8", "vp9", "av1", "mpeg1video", "mpeg2video", "mjpeg", "flv"}
BEFORE_KEY_FRAMES = {"h264", "hevc", "mpeg4"}


@dataclass(frozen=True)
class Settings:
    """What must be the same in all parts, of one stream."""

    kind: str
    codec: str
    width_px: int = 0
    height_px: int = 0
    rate_hz: int = 0
    layout: str = ""
    profile: str = ""
    extradata: bytes = b""

    @property
    def outline(self) -> tuple[str, str, int, int, int]:
        """What a container that takes the codec keeps."""
        return self.kind, self.codec, self.width_px, self.height_px, self.rate_hz


def settings_of(stream: Any) -> Settings:
    """Returns the settings of a stream of PyAV."""
    codec = stream.codec_context
    extradata = bytes(codec.extradata or b"")
    if stream.type == "video":
        return Settings("video", codec.name, codec.width, codec.height, extradata=extradata)
    profile = str(codec.profile or "")
    layout = codec.layout.name if codec.channels else ""
    return Settings("audio", codec.name, 0, 0, codec.sample_rate, layout, profile, extradata)


def difference(first: Settings, other: Settings) -> str:
    """Returns why a part cannot follow another in one stream, or nothing."""
    if first.codec != other.codec:
        return f"other {first.kind} codec ({other.codec} after {first.codec})"
    if first.kind == "video":
        if first.codec in BEFORE_KEY_FRAMES:
            return "" if _length_bytes(first) == _length_bytes(other) else "other codec settings"
        if first.codec in SELF_CONTAINED:
            return ""
        sizes = [f"{one.width_px}x{one.height_px}" for one in (first, other)]
        if sizes[0] != sizes[1]:
            return f"other frame size ({sizes[1]} after {sizes[0]})"
        return "" if _essence(first) == _essence(other) else "other codec settings"
    if first.rate_hz != other.rate_hz:
        return f"other audio rate ({other.rate_hz} Hz after {first.rate_hz} Hz)"
    if first.layout != other.layout:
        return f"other audio channels ({other.layout or 'none'} after {first.layout or 'none'})"
    return "" if _essence(first) == _essence(other) else "other audio codec settings"


def _essence(settings: Settings) -> object:
    """Returns what of the decoder's settings must be the same."""
    data, codec = settings.extradata, settings.codec.removeprefix("lib")
    if codec == "opus":
        return data[9:10] + data[18:]  # channels and their mapping; not how much to skip at the start
    if codec in ("vorbis", "theora"):
        headers = _xiph_headers(data)
        return (headers[0], headers[2]) if len(headers) == 3 else data  # without the comments
    if codec == "flac":
        return data[:4], data[10:13], data[13:14] and data[13] >> 4  # not its length, its largest frame and its hash
    if codec == "alac":
        return data[:24], data[32:]  # not its largest frame and its mean rate
    if codec.startswith("aac"):
        return data[:2], settings.profile
    return data


def _xiph_headers(data: bytes) -> list[bytes]:
    """Returns the three headers of Vorbis and Theora: identification, comments, set-up."""
    headers, at = [], 0
    if data[:1] == b"\2":
        sizes, at = [], 1
        while len(sizes) < 2 and at < len(data):
            size = 0
            while data[at : at + 1] == b"\xff":
                size, at = size + 255, at + 1
            sizes.append(size + int.from_bytes(data[at : at + 1], "big"))
            at += 1
        ends = [at + sum(sizes[:i]) for i in range(3)]
        return [data[start:end] for start, end in zip(ends, [*ends[1:], len(data)], strict=True)]
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        headers.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return headers


def _length_bytes(settings: Settings) -> int:
    """Returns with how many bytes the length of a unit of H.264 or HEVC is written; 0 where there are start codes."""
    data, at = settings.extradata, 4 if settings.codec == "h264" else 21
    return (data[at] & 3) + 1 if data[:1] == b"\1" and len(data) > at else 0


def parameter_sets(settings: Settings) -> bytes:
    """Returns what tells a decoder of H.264, HEVC or MPEG-4 all, as it is written before a key frame."""
    data, width = settings.extradata, _length_bytes(settings)
    if not width:
        return data
    units: list[bytes] = []
    try:
        if settings.codec == "h264":  # two kinds of units, each behind its count
            at = _add_units(data, 6, data[5] & 0x1F, units)
            _add_units(data, at + 1, data[at], units)
        else:  # any number of kinds, each behind its name and count
            at = 23
            for _ in range(data[22]):
                at = _add_units(data, at + 3, int.from_bytes(data[at + 1 : at + 3], "big"), units)
    except IndexError:
        return b""
    return b"".join(len(unit).to_bytes(width, "big") + unit for unit in units)


def _add_units(data: bytes, at: int, count: int, units: list[bytes]) -> int:
    """Adds `count` units, each behind its length; returns where the last one ends."""
    for _ in range(count):
        size = int.from_bytes(data[at : at + 2], "big")
        units.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return at
