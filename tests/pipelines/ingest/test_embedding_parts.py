"""A video's clips, embedded and handed over in parts: together they are what they are at once."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.ingest.embed import Embedder, Extracted, joined
from tests.support.ingest_world import extract, offline, sources_in, write_files


def _embedder(**sizes):
    return Embedder(offline().encoders, "run", "cpu", **sizes)


@pytest.fixture(scope="module")
def embedder():
    return _embedder()


@pytest.fixture
def five_clips(tmp_path):
    (source,) = sources_in(write_files(tmp_path, 1, clips=5))
    return Extracted(replace(source, video_id="v"), extract(source, offline()))


@pytest.mark.parametrize("at_once", [1, 2, 5, 32])
def test_parts_together_are_what_they_are_at_once(embedder, five_clips, at_once):
    (whole,) = embedder.embed([five_clips])
    parts = list(_embedder(clips_at_once=at_once).parts(five_clips))
    assert [len(part.rows.clips) for part in parts] == {1: [1] * 5, 2: [2, 2, 1]}.get(at_once, [5])
    got = joined(parts)
    assert (got.rows.video, got.extraction, got.rows.clips) == (whole.rows.video, whole.extraction, whole.rows.clips)
    for ours, theirs in ((got.rows.faces, whole.rows.faces), (got.rows.voices, whole.rows.voices)):
        assert len(ours) == len(theirs) > 0
        for a, b in zip(ours, theirs, strict=True):
            assert {**a, "vectors": None} == {**b, "vectors": None}
            for space, vector in b["vectors"].items():
                np.testing.assert_allclose(a["vectors"][space], vector, atol=1e-5)


def test_nothing_is_embedded_after_a_clip_that_cannot_be(five_clips):
    clips = list(five_clips.extraction.clips)
    clips[3] = replace(clips[3], voices=(replace(clips[3].voices[0], audio=b"no FLAC"),))
    broken = replace(five_clips, extraction=replace(five_clips.extraction, clips=tuple(clips)))
    parts = _embedder(clips_at_once=2).parts(broken)
    assert len(next(parts).rows.clips) == 2
    with pytest.raises(Exception, match="ormat"):
        next(parts)
    assert list(parts) == []


def test_a_source_without_clips_is_one_part(embedder, five_clips):
    empty = replace(five_clips, extraction=replace(five_clips.extraction, state="empty", clips=()))
    (part,) = embedder.parts(empty)
    assert part == embedder.embed([empty])[0]


@pytest.mark.parametrize("at_once", [1, 3])
def test_media_are_decoded_a_few_at_a_time(embedder, five_clips, at_once, monkeypatch):
    (whole,) = embedder.embed([five_clips])
    few = _embedder(media_at_once=at_once)
    most, embed = [], few.face.embed
    monkeypatch.setattr(few.face, "embed", lambda crops: most.append(len(crops)) or embed(crops))
    (got,) = few.embed([five_clips])
    assert max(most) <= at_once
    assert sum(most) == len(whole.rows.faces)
    for a, b in zip(got.rows.faces, whole.rows.faces, strict=True):
        np.testing.assert_allclose(*(next(iter(row["vectors"].values())) for row in (a, b)), atol=1e-5)
