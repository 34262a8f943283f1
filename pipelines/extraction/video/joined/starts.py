"""Where other files begin in a recording."""

import re
from collections.abc import Iterator

from .recording import Recording, bytes_at

SEARCH_BYTES = 1 << 24
LONGEST_HEADER = 128
OGG_FIRST = b"OggS\0\2"  # the first page of a stream
# How files of a kind begin: bytes to look for, and what must be there.
HEADERS = {
    b"FLV\1": re.compile(rb"FLV\x01[\x00\x01\x04\x05]\x00\x00\x00\x09\x00\x00\x00\x00"),
    b"\x1aE\xdf\xa3": re.compile(rb"\x1aE\xdf\xa3.{1,80}?\x42\x82.{1,8}?(?:webm|matroska)", re.DOTALL),
    OGG_FIRST: re.compile(rb"OggS\x00\x02\x00{8}"),
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c": None,  # ASF
    b"nut/multimedia container\0": None,
}
# Kinds that are looked for only in a recording of this format: others hold these bytes too.
OWN_HEADERS = {
    "avi": {b"RIFF": re.compile(rb"RIFF.{4}AVI LIST", re.DOTALL)},
    "wav": {
        b"RIFF": re.compile(rb"RIFF.{4}WAVE", re.DOTALL),
        b"RF64": re.compile(rb"RF64.{4}WAVE", re.DOTALL),
    },
    "mxf": {  # the header partition
        b"\x06\x0e\x2b\x34\2\5\1\1\x0d\1\2\1\1\2": re.compile(rb".{14}[\1-\4]\0", re.DOTALL),
    },
    "w64": {b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00": None},
    "aiff": {b"FORM": re.compile(rb"FORM.{4}AIF[FC]", re.DOTALL)},
    "au": {b".snd": re.compile(rb"\.snd\0\0.{6}\0\0\0.\0.{3}\0\0\0.", re.DOTALL)},
    "caf": {b"caff\0\1\0\0": None},
    "flac": {b"fLaC": re.compile(rb"fLaC[\0\x80]\0\0\x22")},
    "tta": {b"TTA1": re.compile(rb"TTA1[\1\3]\0")},
    "wv": {b"wvpk": re.compile(rb"wvpk.{12}\0{4}", re.DOTALL)},  # the block with the first sample
    "amr": {b"#!AMR": re.compile(rb"#!AMR(?:-WB)?\n")},
    "voc": {b"Creative Voice File\x1a": None},
    "sox": {b".SoX": None, b"XoS.": None},
    "rm": {b".RMF\0\0\0\x12": None},
    "roq": {b"\x84\x10\xff\xff\xff\xff\x1e\0": None},
    # Version, length (100 MB where it was not known) and how many bits tell the size of a frame.
    "swf": {b"FWS": re.compile(rb"FWS[\3-\x2b].{3}[\0-\x0f][\x48-\x98]", re.DOTALL)},
    "smjpeg": {b"\0\nSMJPEG": None},
}
LIKE_THE_FIRST_BYTES = 16  # of any other kind: as this file begins


def headers_in(recording: Recording, start: int, alike: bool) -> list[int]:
    """Returns where behind `start` another file begins; `alike`: also one of a kind that is not known here."""
    kinds, found, end = dict(HEADERS), [], recording.size_bytes
    recording.progress.start()
    with open(recording.path, "rb") as file:
        first = file.read(LIKE_THE_FIRST_BYTES)
        if recording.format in OWN_HEADERS:
            kinds |= OWN_HEADERS[recording.format]
        elif alike and not any(first.startswith(begin) for begin in HEADERS):
            kinds[first] = None
        for at in range(start, end, SEARCH_BYTES):
            recording.progress(at)
            file.seek(at)
            data = file.read(min(end - at, SEARCH_BYTES + LONGEST_HEADER))
            for begin, pattern in kinds.items():
                place = data.find(begin)
                while 0 <= place < SEARCH_BYTES:
                    if pattern is None or pattern.match(data, place):
                        found.append(at + place)
                    place = data.find(begin, place + 1)
        # Ogg begins with one such page for each stream.
        lengths = {at: _ogg_page_bytes(bytes_at(file, at, 282)) for at in found}
    follows = {at + length for at, length in lengths.items() if length}
    return sorted(set(found) - follows)


def _ogg_page_bytes(page: bytes) -> int:
    """Returns the length of a page that begins a stream; 0 where it is none."""
    return 27 + page[26] + sum(page[27 : 27 + page[26]]) if page.startswith(OGG_FIRST) and len(page) > 26 else 0


def files_in(recording: Recording, outermost: list[tuple[bytes, int]]) -> list[int]:
    """Returns where the files begin that were joined into an MP4 or MOV recording: at least its own beginning.

    A file begins with the box `ftyp`. Older ones have none: of these, the offset of the first chunk tells the start.
    """
    begins = {start for _, start in outermost}
    starts = {0, *(start for name, start in outermost if name == b"ftyp")}
    chunks = [start for name, start in outermost if name == b"mdat"]
    moovs = [start for name, start in outermost if name == b"moov"]
    with open(recording.path, "rb") as file:
        for moov in moovs[1:] if len(moovs) > len(starts) else ():
            offset = _first_chunk(bytes_at(file, moov, _box_bytes(bytes_at(file, moov, 16))))
            found = [at + head - offset for at in chunks for head in (8, 16) if at + head - offset in begins]
            starts.update(sorted(at for at in found if at <= moov)[-1:])
    return sorted(starts)


def _first_chunk(moov: bytes) -> int:
    """Returns the offset of the first chunk that a table of chunks names; 0 where there is none."""
    found = []
    for name, width in ((b"stco", 4), (b"co64", 8)):
        at = moov.find(name)
        while at >= 0:
            found.append(int.from_bytes(moov[at + 12 : at + 12 + width], "big"))
            at = moov.find(name, at + 1)
    return min(found, default=0)


def _box_bytes(head: bytes) -> int:
    """Returns the length of a box; 0 of one that reaches to the end of the file."""
    length = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:16], "big") if length == 1 else length


def boxes(recording: Recording) -> Iterator[tuple[bytes, int]]:
    """Yields (name, start) of the outermost boxes of an MP4 file."""
    with open(recording.path, "rb") as file:
        at, size = 0, recording.size_bytes
        while at + 8 <= size:
            head = bytes_at(file, at, 16)
            length = _box_bytes(head)
            yield head[4:8], at
            if length < 8:
                return  # to the end of the file, or damaged
            at += length
