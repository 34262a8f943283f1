"""A video's clips, embedded and handed over in parts: together they are what they are at once."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines.ingest import embed as embedding
from pipelines.ingest.embed import Embedder, Extracted, joined
from tests.support.ingest_world import extract, offline, sources_in, write_files


@pytest.fixture(scope="module")
def embedder():
    return Embedder(offline().encoders, "run", "cpu")


@pytest.fixture
def five_clips(tmp_path):
    (source,) = sources_in(write_files(tmp_path, 1, clips=5))
    return Extracted(replace(source, video_id="v"), extract(source, offline()))


@pytest.mark.parametrize("at_once", [1, 2, 5, 32])
def test_parts_together_are_what_they_are_at_once(embedder, five_clips, at_once, monkeypatch):
    (whole,) = embedder.guarded(five_clips)
    monkeypatch.setattr(embedding, "CLIPS_AT_ONCE", at_once)
    parts = list(embedder.parts(five_clips))
    assert [len(part.rows.clips) for part in parts] == {1: [1] * 5, 2: [2, 2, 1]}.get(at_once, [5])
    got = joined(parts)
    assert (got.rows.video, got.extraction, got.rows.clips) == (whole.rows.video, whole.extraction, whole.rows.clips)
    for ours, theirs in ((got.rows.faces, whole.rows.faces), (got.rows.voices, whole.rows.voices)):
        assert len(ours) == len(theirs) > 0
        for a, b in zip(ours, theirs, strict=True):
            assert {**a, "vectors": None} == {**b, "vectors": None}
            for space, vector in b["vectors"].items():
                np.testing.assert_allclose(a["vectors"][space], vector, atol=1e-5)


def test_a_clip_that_cannot_be_embedded_fails_the_whole_source(embedder, five_clips, monkeypatch):
    monkeypatch.setattr(embedding, "CLIPS_AT_ONCE", 2)
    clips = list(five_clips.extraction.clips)
    clips[3] = replace(clips[3], voices=(replace(clips[3].voices[0], audio=b"no FLAC"),))
    parts = list(embedder.parts(replace(five_clips, extraction=replace(five_clips.extraction, clips=tuple(clips)))))
    got = joined(parts)
    assert len(parts) == 2, "nothing is embedded in vain after it"
    assert got.rows.video["state"] == "failed"
    assert "internal error" in got.rows.video["reason"]
    assert [len(rows) for rows in (got.rows.clips, got.rows.faces, got.rows.voices)] == [0, 0, 0]


def test_a_source_without_clips_is_one_part(embedder, five_clips):
    empty = replace(five_clips, extraction=replace(five_clips.extraction, state="empty", clips=()))
    (part,) = embedder.parts(empty)
    assert part == embedder.guarded(empty)[0]


@pytest.mark.parametrize("at_once", [1, 3])
def test_media_are_decoded_a_few_at_a_time(embedder, five_clips, at_once, monkeypatch):
    (whole,) = embedder.guarded(five_clips)
    monkeypatch.setattr(embedding, "MEDIA_AT_ONCE", at_once)
    decoded, most, decode, embed = [], [], embedding.decode_image, embedder.face.embed
    monkeypatch.setattr(embedding, "decode_image", lambda data: decoded.append(data) or decode(data))
    monkeypatch.setattr(embedder.face, "embed", lambda crops: most.append(len(crops)) or embed(crops))
    (got,) = embedder.guarded(five_clips)
    assert max(most) <= at_once
    assert sum(most) == len(decoded) == len(whole.rows.faces)
    for a, b in zip(got.rows.faces, whole.rows.faces, strict=True):
        np.testing.assert_allclose(*(next(iter(row["vectors"].values())) for row in (a, b)), atol=1e-5)
