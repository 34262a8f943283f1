"""Where ffmpeg would not read a recording to its end: the streams from there on are others than those before."""

from av.error import FFmpegError

from . import program_stream, transport_stream
from .codecs import settings_of
from .packets import moves
from .recording import Recording, Span

# Codecs that one decoder reads, and one name of them all.
ALIKE = {
    "mpeg1video": "mpeg2video",
    "mp1": "mp2",
    "mp1float": "mp2",
    "mp2float": "mp2",
    "mp3": "mp2",
    "mp3float": "mp2",
}
Streams = dict[str, dict[int, str]]  # codecs by the streams' own numbers, by kind


def starts_of_other_streams(recording: Recording) -> tuple[list[int], bool]:
    """Returns where the parts begin that ffmpeg does not read as one, in bytes, and whether none can read the end."""
    look = transport_stream if recording.format == "mpegts" else program_stream
    changes = [at for at in look.changes_in(recording) if at]
    if not changes:
        return [0], False
    starts, now, then = [0], _streams(recording, 0, changes[0]), {}
    for start, end in zip(changes, [*changes[1:], recording.size_bytes], strict=True):
        then = _streams(recording, start, end)
        if then and not _read_on(now, then):
            starts, now = [*starts, start], then
    if not then and recording.format == "mpeg":
        return [*starts, changes[-1]], True  # its demuxer takes what it knows from files of other formats
    return starts, not then


def _streams(recording: Recording, start: int, end: int) -> Streams:
    """Returns the streams of a span; none where it cannot be opened."""
    found: Streams = {}
    try:
        with Span(start, end).opened(recording) as container:
            for stream in container.streams:
                if moves(stream):
                    codec = settings_of(stream).codec
                    found.setdefault(stream.type, {})[stream.id] = ALIKE.get(codec, codec)
    except (FFmpegError, OSError, ValueError):
        pass
    return found


def _read_on(now: Streams, then: Streams) -> bool:
    """Returns whether ffmpeg, which reads the streams that were found first, goes on with those that follow."""
    for kind, codecs in then.items():
        before = now.get(kind, {})
        shared = before.keys() & codecs.keys()
        first = {next(iter(before), None)} if kind == "video" else shared
        if not shared or not first <= shared or any(before[one] != codecs[one] for one in shared):
            return False
    return True
