"""A video's clips, embedded and handed over in parts: together the parts equal the whole."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.ingest.embed import Embedder, SourceResult, count_parts
from tests.support.ingest_world import TINY, extract, offline, sources_in, write_files

# Batches of other sizes change the order of sums in the encoders; unit vectors then differ by about 1e-7.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def embedder():
    return Embedder(offline().encoders, "cpu")


@pytest.fixture
def five_clips(tmp_path):
    (source,) = sources_in(write_files(tmp_path, 1, clips=5))
    return SourceResult(replace(source, video_id="v"), "run", extract(source, offline()))


def _assert_equal(got: SourceResult, whole: SourceResult) -> None:
    assert (got.source, got.run_id, got.extraction) == (whole.source, whole.run_id, whole.extraction)
    for ours, theirs in ((got.faces, whole.faces), (got.voices, whole.voices)):
        assert ours.keys() == theirs.keys()
        for space, vectors in theirs.items():
            np.testing.assert_allclose(ours[space], vectors, atol=TOLERANCE)


@pytest.mark.parametrize("at_once", [1, 2, 5, 32])
def test_parts_together_equal_the_whole(embedder, five_clips, at_once):
    (whole,) = embedder.embed([five_clips])
    parts = list(Embedder(offline().encoders, "cpu", clips_at_once=at_once).parts(five_clips))
    assert [len(part.rows.clips) for part in parts] == {1: [1] * 5, 2: [2, 2, 1]}.get(at_once, [5])
    assert len(parts) == count_parts(five_clips, at_once)
    clips = tuple(clip for part in parts for clip in part.extraction.clips)
    vectors = {
        table: {
            space: np.concatenate([getattr(part, table)[space] for part in parts]) for space in getattr(whole, table)
        }
        for table in ("faces", "voices")
    }
    _assert_equal(replace(parts[-1], extraction=replace(parts[-1].extraction, clips=clips), **vectors), whole)


def test_a_row_has_its_own_media_and_vector(embedder, five_clips):
    other = replace(five_clips, source=replace(five_clips.source, video_id="w"))
    first, second = embedder.embed([five_clips, other])
    ids = []
    for result in (first, second):
        rows, clips = result.rows, result.extraction.clips
        assert [row["clip_id"] for row in rows.clips] == [face["clip_id"] for face in rows.faces]
        assert [row["image"] for row in rows.faces] == [crop.image for clip in clips for crop in clip.faces]
        assert [row["audio"] for row in rows.voices] == [segment.audio for clip in clips for segment in clip.voices]
        for table, vectors in ((rows.faces, result.faces), (rows.voices, result.voices)):
            ((space, matrix),) = vectors.items()
            np.testing.assert_array_equal([row["vectors"][space] for row in table], matrix)
        ids += [row["face_id"] for row in rows.faces] + [row["voice_id"] for row in rows.voices]
    assert len(set(ids)) == len(ids) == 20
    _assert_equal(replace(second, source=first.source), first)


def test_nothing_is_embedded_after_a_clip_that_cannot_be(five_clips):
    clips = list(five_clips.extraction.clips)
    clips[3] = replace(clips[3], voices=(replace(clips[3].voices[0], audio=b"no FLAC"),))
    broken = replace(five_clips, extraction=replace(five_clips.extraction, clips=tuple(clips)))
    parts = Embedder(offline().encoders, "cpu", clips_at_once=2).parts(broken)
    assert len(next(parts).rows.clips) == 2
    with pytest.raises(Exception, match="ormat"):
        next(parts)
    assert list(parts) == []


def test_a_source_without_clips_is_one_part(embedder, five_clips):
    empty = replace(five_clips, extraction=replace(five_clips.extraction, state="empty", clips=()))
    (part,) = embedder.parts(empty)
    assert part.extraction == empty.extraction
    assert (part.rows.clips, part.rows.faces, part.rows.voices) == ([], [], [])


@pytest.mark.parametrize("at_once", [1, 3])
def test_media_are_decoded_a_few_at_a_time(five_clips, at_once):
    tiny = offline(*TINY).encoders
    few = Embedder(tiny, "cpu", media_at_once=at_once)
    (got,), (whole,) = few.embed([five_clips]), Embedder(tiny, "cpu").embed([five_clips])
    assert max(few.encoders["faces"].calls) <= at_once
    assert sum(few.encoders["faces"].calls) == len(whole.rows.faces) == 5
    _assert_equal(got, whole)
