"""The clips of a long video are kept in a file and read as if they were in memory."""

import os
import pickle
import resource
import signal

import pytest

from pipelines.extraction.clip_file import ClipFile, kept_clips
from pipelines.extraction.types import Clip, FaceCrop, SpeechSegment

BOX = (0.1, 0.2, 0.3, 0.4)


def _clips(count, size=1000):
    for n in range(count):
        face = FaceCrop(float(n), BOX, 50.0, 0.5, 0.5, 0.5, 0.5, os.urandom(size))
        yield Clip(float(n), n + 1.0, BOX, 0.9, (face,), (SpeechSegment(n, n + 1.0, 1.0, 20.0, os.urandom(size)),))


def test_clips_in_a_file_are_those_that_were_given():
    clips = tuple(_clips(5))
    kept = kept_clips(iter(clips), in_memory_bytes=4000)
    assert isinstance(kept, ClipFile)
    assert (len(kept), tuple(kept), kept[1:4], kept[-1]) == (5, clips, clips[1:4], clips[-1])
    assert pickle.loads(pickle.dumps(kept)) == clips
    with pytest.raises(IndexError):
        kept[5]


@pytest.mark.parametrize("count", [0, 2])
def test_a_few_clips_stay_in_memory(count):
    clips = tuple(_clips(count))
    assert kept_clips(iter(clips), in_memory_bytes=4000) == clips


def test_what_a_full_disk_refuses_stays_in_memory():
    clips = tuple(_clips(5))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # else the limit would end the process
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
    try:
        kept = ClipFile(iter(clips))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert tuple(kept) == clips
