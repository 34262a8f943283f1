"""A child process that reads the headers of media files with PyAV, one JSON line in and one out.

Headers are read by libavformat in C, which also decodes a little to fill gaps in them. A broken or hostile file may
crash or hang it or exhaust the memory, so it does not run in the worker. `probe` starts this file as a plain
script: it imports PyAV and nothing of the project, so it starts fast.

    {"path": "/videos/a.mp4"}  ->  {"format": "mov", "duration_s": 2.0, "streams": [{"index": 0, ...}, ...]}
                                or {"error": "Invalid data found when processing input"}
"""

import json
import sys
from typing import Any

import av
from av.error import ArgumentError, FFmpegError
from av.stream import Disposition

# Formats that name other files, addresses or devices: the worker must not read those.
REFERENCE_FORMATS = {
    *("concat", "dash", "hls", "image2", "imf", "sdp", "rtp", "rtsp", "sap", "vobsub", "webm_dash_manifest"),
    *("avisynth", "svg_pipe", "dvd", "dvdvideo", "lavfi"),
    *("alsa", "fbdev", "kmsgrab", "oss", "video4linux2,v4l2", "x11grab"),
}
ALLOWED = ",".join(sorted(av.formats_available - REFERENCE_FORMATS))
TRANSFERS = {16: "pq", 18: "hlg"}  # AVColorTransferCharacteristic of the two kinds of HDR
PROGRESSIVE_ORDERS = (0, 1)  # AVFieldOrder: unknown, progressive
NOT_MOVING = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image


def headers(path: str) -> dict[str, Any]:
    """Returns the headers of a file as JSON values, or an `error` where it cannot be opened."""
    options = {"format_whitelist": ALLOWED, "protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            return {
                "format": container.format.name.split(",")[0],
                "start_s": (container.start_time or 0) / av.time_base,
                "duration_s": (container.duration or 0) / av.time_base,
                "streams": [_stream(s) for s in container.streams if s.type in ("video", "audio")],
            }
    except (FFmpegError, MemoryError, ValueError) as error:
        # A format that is not allowed is an invalid argument.
        refused = isinstance(error, ArgumentError)
        return {"error": getattr(error, "strerror", None) or type(error).__name__, "refused": refused}


def _stream(stream: Any) -> dict[str, Any]:
    codec, tags = stream.codec_context, stream.metadata
    answer = {
        "index": stream.index,
        "kind": stream.type,
        "codec": codec.name if codec else "unknown",
        "start_s": None if stream.start_time is None else float(stream.start_time * stream.time_base),
        "duration_s": float((stream.duration or 0) * stream.time_base),
        "default": bool(stream.disposition & Disposition.default),
        "language": tags.get("language", ""),
        "title": tags.get("title", ""),
        "decodable": codec is not None,
    }
    if codec and stream.type == "video":
        answer |= {
            "cover": bool(stream.disposition & NOT_MOVING),
            "width_px": codec.width,
            "height_px": codec.height,
            "rate_hz": float(stream.average_rate or stream.base_rate or 0),
            "pixel_aspect": float(stream.sample_aspect_ratio or codec.sample_aspect_ratio or 1),
            "transfer": TRANSFERS.get(int(codec.color_trc), ""),
            "interlaced": int(codec.field_order) not in PROGRESSIVE_ORDERS,
        }
    if codec and stream.type == "audio":
        known = bool(codec.sample_rate and codec.channels)
        answer |= {"decodable": known, "channels": codec.channels, "layout": codec.layout.name}
    return answer


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(headers(json.loads(line)["path"])), flush=True)
