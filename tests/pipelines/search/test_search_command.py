"""Search finds what is planted: a person's other clips, the voices that suit a face, and says how it found them."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from pipelines.search import Searcher
from pipelines.search.probes import FACE, Probe, one_person
from stores import Store
from tests.support.vclip_command import OFFLINE
from vclip.association.galleries import Galleries
from vclip.association.methods import load
from vclip.association.pairs import Pairs, mean_direction
from vclip.association.scores import clip_scores
from vclip.errors import InputError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def searcher(pairs_store, model) -> Searcher:
    return Searcher.open(pairs_store, model)


@pytest.fixture(scope="module")
def pairs(searcher) -> Pairs:
    return Pairs.of(searcher.store.pairs())


def face_ids(searcher, count):
    return searcher.store.query("faces", ["face_id"], limit=count, order="face_id")["face_id"].to_pylist()


def test_voices_that_suit_faces_are_those_that_the_evaluation_scores_highest(searcher, pairs):
    names = searcher.store.query("faces", ["face_id", "clip_id"], order="clip_id")
    probes = searcher.faces(names["face_id"].to_pylist())
    answer = searcher.find("voices", probes, k=5, where="gender = 'f'")
    assert (answer.by, answer.across, answer.prior) == ("memory", True, 0.5)
    scores = clip_scores(searcher.model, pairs)[:, pairs.gender == "f"]
    women = pairs.clip_id[pairs.gender == "f"]
    for row, match in enumerate(answer.matches):
        order = np.argsort(-scores[row], kind="stable")[:5]
        np.testing.assert_allclose([hit.cosine for hit in match.hits], scores[row][order], atol=1e-5)
        assert [hit.clip_id for hit in match.hits] == women[order].tolist()
        said = searcher.model.calibration.probability(scores[row][order])
        np.testing.assert_allclose([hit.probability for hit in match.hits], said, atol=1e-4)
        assert {hit.gender for hit in match.hits} == {"f"}
        assert all(hit.face_id and hit.voice_id for hit in match.hits)


def _unscored(hit):
    return replace(hit, cosine=0.0, probability=None)


@pytest.mark.parametrize("find", ["faces", "voices"])
def test_what_does_not_fit_memory_is_found_all_the_same(searcher, find):
    probes = searcher.faces(face_ids(searcher, 4))
    small = Searcher(searcher.store, searcher.model, memory_bytes=5_000)  # a few clips at a time
    for where in (None, "gender = 'm'"):
        answers = [one.find(find, probes, k=7, where=where) for one in (searcher, small)]
        assert [answer.by for answer in answers] == ["memory", "stream"]
        for whole, streamed in zip(*(answer.matches for answer in answers), strict=True):
            assert [_unscored(hit) for hit in whole.hits] == [_unscored(hit) for hit in streamed.hits]
            for a, b in zip(whole.hits, streamed.hits, strict=True):
                # The model projects other numbers of rows at a time; BLAS rounds them differently (1e-7 was seen).
                assert a.cosine == pytest.approx(b.cosine, abs=1e-5)
                assert a.probability == pytest.approx(b.probability, abs=1e-4)
    one_face = searcher.find(find, probes[:1], k=7)
    (alone,), (beside, *_) = one_face.matches, searcher.find(find, probes, k=7).matches
    assert [hit.clip_id for hit in alone.hits] == [hit.clip_id for hit in beside.hits]
    # A model's products round as many rows do.
    assert [hit.cosine for hit in alone.hits] == pytest.approx([hit.cosine for hit in beside.hits], abs=1e-5)


def test_a_face_does_not_find_itself(searcher):
    (name,) = face_ids(searcher, 1)
    count = searcher.store.count("faces")
    hits = searcher.find("faces", searcher.faces([name]), k=count).matches[0].hits
    assert len({hit.face_id for hit in hits}) == count - 1
    assert name not in {hit.face_id for hit in hits}
    assert [hit.cosine for hit in hits] == sorted((hit.cosine for hit in hits), reverse=True)
    assert all(hit.probability is None for hit in hits)


def test_rows_of_the_searched_table_can_be_filtered(searcher):
    quality = searcher.store.query("faces", ["quality"])["quality"].to_numpy()
    wanted = f"quality > {np.median(quality):.6f}"
    for probes, across in ((searcher.faces(face_ids(searcher, 1)), False), (_a_voice(searcher), True)):
        answer = searcher.find("faces", probes, k=100, media=wanted)
        assert answer.across == across
        good = set(searcher.store.query("faces", ["face_id"], wanted)["face_id"].to_pylist())
        assert {hit.face_id for hit in answer.matches[0].hits} == good - probes[0].own


def _a_voice(searcher):
    name = searcher.store.query("voices", ["voice_id"], limit=1)["voice_id"][0].as_py()
    return searcher.voices([name])


def test_files_vectors_and_ids_are_the_same_probe(searcher, pair_files, tmp_path):
    rows = searcher.store.query("faces", {"face_id": "face_id", "clip_id": "clip_id"}, order="face_id", limit=2)
    ids = rows["face_id"].to_pylist()
    vectors = np.stack([probe.vector for probe in searcher.faces(ids)])
    np.save(tmp_path / "two.npy", vectors)
    loaded = searcher.faces([tmp_path / "two.npy", vectors[0]])
    assert [probe.name for probe in loaded] == [f"{tmp_path}/two.npy[0]", f"{tmp_path}/two.npy[1]", "vector 2"]
    assert np.array_equal([probe.vector for probe in loaded], vectors[[0, 1, 0]])
    clip = searcher.store.query("clips", ["video_uri"], f"clip_id = '{rows['clip_id'][0].as_py()}'")
    photo = clip["video_uri"][0].as_py().split(" + ")[0]
    (probe,) = searcher.faces([photo])
    assert probe.vector @ vectors[0] > 0.999
    with open(photo, "rb") as file:
        assert np.array_equal(searcher.encoders.photo(file.read(), "upload").vector, probe.vector)
    speech = next(pair_files.glob("*/speech.wav"))
    hit = searcher.find("voices", searcher.voices([speech]), k=1).matches[0].hits[0]
    assert hit.cosine > 0.99
    assert hit.identity == speech.parent.name


def test_a_person_is_searched_for_by_all_clips_at_once(searcher, pairs, vclip, pairs_store, model):
    """What the evaluation scores for a person; the person's own voices are no hits of a search for voices."""
    person = str(pairs.identity[0])
    mine = pairs.identity == person
    probe = searcher.person(FACE, person)
    assert len(probe.vectors) == np.sum(mine[pairs.face_clip])
    everybody = Galleries.of_people(pairs, views=len(pairs), seed=0).pairs
    row = everybody.identity.tolist().index(person)
    faces = mean_direction(searcher.model.embed_faces(everybody.faces), everybody.face_clip, len(everybody))
    voices = mean_direction(searcher.model.embed_voices(pairs.voices), pairs.voice_clip, len(pairs))
    hits = searcher.find("voices", [probe], k=3).matches[0].hits
    np.testing.assert_allclose([hit.cosine for hit in hits], np.sort(voices @ faces[row])[::-1][:3], atol=1e-5)
    alike = searcher.find("faces", [probe], k=len(pairs)).matches[0].hits
    assert len(alike) > 5
    assert person not in {hit.identity for hit in alike}
    options = ("search", "--store", pairs_store, "--find", "voices", "--model", model, "-k", 3, "--format", "json")
    said = json.loads(vclip(*options, "--face-of", person).out)
    assert [hit["clip_id"] for hit in said["matches"][0]["hits"]] == [hit.clip_id for hit in hits]
    faces = [option for name in sorted(probe.own) for option in ("--face", name)]
    if len(probe.own) > 1:
        same = json.loads(vclip(*options, *faces, "--same-person").out)
        assert [hit["clip_id"] for hit in same["matches"][0]["hits"]] == [hit.clip_id for hit in hits]
    said = vclip(*options, "--voice-of", "nobody here")
    assert said.code == 2
    assert "none of this name" in said.err
    assert "expected several faces or several voices" in vclip(*options, "--text", "x", "--same-person").err


def test_several_faces_of_one_person_are_one_probe(searcher):
    ids = face_ids(searcher, 3)
    probe = one_person(searcher.faces(ids))
    mean = np.mean([one.vector for one in searcher.faces(ids)], 0)
    np.testing.assert_allclose(probe.vector, mean / np.linalg.norm(mean), atol=1e-6)
    assert (probe.own, probe.name) == (frozenset(ids), " + ".join(ids))
    hits = searcher.find("faces", [probe], k=5).matches[0].hits
    assert len(hits) == 5
    assert not {hit.face_id for hit in hits} & set(ids)


@pytest.mark.parametrize(
    ("find", "kind", "vector", "message"),
    [
        (
            "faces",
            FACE,
            np.ones(7),
            r"shape \(1, 7\), expected vectors of 'mirrored/dlib/resnet-v1-128/crop1' \(n, 128\)",
        ),
        ("voices", FACE, np.full(128, np.nan), "finite"),
        ("clips", FACE, np.ones(128), "expected faces or voices"),
    ],
)
def test_what_makes_no_sense_is_refused(searcher, find, kind, vector, message):
    with pytest.raises(InputError, match=message):
        searcher.find(find, [Probe(kind, vector.astype(np.float32)[None], "x")])


def test_an_older_model_gives_no_probabilities_and_says_so(searcher, pairs_store, model, tmp_path, capfd):
    old = load(model)
    old.calibration = None
    answer = Searcher(Store.open(pairs_store), old).find("voices", searcher.faces(face_ids(searcher, 1)), k=2)
    assert answer.prior is None
    assert [hit.probability for hit in answer.matches[0].hits] == [None, None]
    assert "no probabilities; train it again" in capfd.readouterr().err


def test_the_command_answers_people_and_scripts(pairs_store, model, photo, vclip):
    asked = ("search", "--store", pairs_store, "--find", "voices", "--face", photo, "--model", model, "-k", 3)
    asked = (*asked, "--where", "gender = 'm'", "--config", OFFLINE)
    answer = json.loads(vclip(*asked, "--format", "json").out)
    hits = answer["matches"][0]["hits"]
    assert (answer["by"], answer["prior"], len(hits)) == ("memory", 0.5, 3)
    table = list(csv.DictReader(io.StringIO(vclip(*asked, "--format", "csv").out)))
    assert [row["voice_id"] for row in table] == [hit["voice_id"] for hit in hits]
    said = vclip(*asked).out
    assert all(hit["voice_id"] in said for hit in hits)
    assert "3 voices, exact, from memory; match: the probability that both are one person" in said
    assert "at a prior of 0.5" in said
    none = vclip(*asked[:-4], "--where", "gender = 'x'", "--config", OFFLINE)
    assert (none.code, none.out) == (0, "0 voices: --where \"gender = 'x'\" leaves none to compare with\n")
    rare = json.loads(vclip(*asked, "--format", "json", "--prior", 0.001).out)["matches"][0]["hits"]
    assert all(a["probability"] < b["probability"] for a, b in zip(rare, hits, strict=True))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ((), ("--face", "--voice", "--text")),
        (("--face", "nobody"), ("nobody", "face_id")),
        (("--face", "x" * 300), ("neither a file nor a face_id",)),
        (("--voice", "photo.npy", "--face", "x"), ("--face and --voice",)),
        (("--face", "missing.npy"), ("missing.npy", ".npy of shape")),
        (("--text", "a tall man"), ("a tall man", "open_clip")),
        (("--voice", OFFLINE), ("offline.yaml", "expected an audio file")),
        (("--face", "x", "--format", "xml"), ("xml", "csv")),
    ],
)
def test_what_was_mistyped_is_named_in_one_line(pairs_store, vclip, wrong, named):
    said = vclip("search", "--store", pairs_store, "--find", "faces", *wrong)
    assert (said.code, said.out) == (2, "")
    assert " ERROR vclip: " in said.err
    assert said.err.count("\n") == 1
    for word in named:
        assert word in said.err


def test_faces_are_not_compared_with_voices_without_a_model(pairs_store, photo, vclip):
    said = vclip("search", "--store", pairs_store, "--find", "voices", "--face", photo)
    assert (said.code, said.out) == (2, "")
    assert "give --model" in said.err
