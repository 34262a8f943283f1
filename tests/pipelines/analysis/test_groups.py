"""Clusters, near-duplicates, outliers and maps, each against a loop or a plant."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.decomposition import PCA

from pipelines.analysis import clusters, maps, outliers
from pipelines.analysis.clips import clips_with, directions
from pipelines.analysis.near_duplicates import near_duplicates
from tests.support.analysis_world import near
from vclip.association.hashes import hashes_of
from vclip.errors import InputError, SpaceError


def table_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_directions_are_the_normed_means_of_each_clip(world):
    snapshot = world.snapshot()
    clips = clips_with(snapshot, ("faces", "voices"), ["identity"], "split = 'train'")
    ids = clips["clip_id"].to_pylist()
    assert ids == sorted(row["clip_id"] for row in world.query("clips").to_pylist() if row["split"] == "train")
    column = "vector_dlib_resnet_v1_128_crop1"
    rows = world.query("faces", ["clip_id", column]).to_pylist()
    for embed in (None, lambda vectors: vectors[:, :3] ** 2):
        found = directions(snapshot, "faces", None, clips, embed)
        for name, direction in zip(ids, found, strict=True):
            own = np.array([row[column] for row in rows if row["clip_id"] == name], np.float32)
            mean = (own if embed is None else embed(own)).mean(axis=0)
            # Sums of float32 in another order; components near zero lose digits.
            np.testing.assert_allclose(direction, mean / np.linalg.norm(mean), rtol=1e-4)


@pytest.mark.parametrize(
    ("of", "method"), [("both", "average"), ("both", "linkage"), ("both", "hdbscan"), ("faces", "hdbscan")]
)
def test_planted_people_are_found(world, tmp_path, of, method):
    result = clusters.clusters(world.uri, tmp_path / "out", of, method)
    found = result.agreement_with_names
    assert found.precision == 1
    assert len(result.in_words()) == (result.method == "average")
    assert "40 of 48" in replace(result, largest=40).in_words()[-1]  # what one cluster for all may mean
    if of == "both":  # one kind alone tears a person apart now and then
        assert found.recall == found.b_cubed_f1 == 1
        assert (result.clips, result.clusters, result.largest) == (48, 8, 6)
    else:
        assert found.recall > 0.8
    rows = table_of(tmp_path / "out" / "clusters.csv")
    assert [int(row["cluster"]) for row in rows] == sorted(int(row["cluster"]) for row in rows)
    assert len(rows) == 48
    for number in {row["cluster"] for row in rows}:
        own = [row for row in rows if row["cluster"] == number]
        assert len({row["identity"] for row in own} - {""}) <= 1
        assert {int(row["clips"]) for row in own} == {len(own)}
    assert "data:image/jpeg" in (tmp_path / "out" / "clusters.html").read_text()


@pytest.mark.parametrize(("of", "method"), [("both", "average"), ("both", "hdbscan"), ("voices", "hdbscan")])
def test_one_clip_is_a_cluster(world, tmp_path, of, method):
    (clip, *_) = world.query("clips", ["clip_id"], limit=1)["clip_id"].to_pylist()
    result = clusters.clusters(world.uri, tmp_path / "out", of, method, f"clip_id = '{clip}'")
    assert (result.clips, result.clusters, result.largest) == (1, 1, 1)


def test_agreement_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    group, person = rng.integers(0, 9, 60), rng.integers(0, 9, 60).astype(str)
    one, other = np.triu_indices(60, 1)
    grouped, same = group[one] == group[other], person[one] == person[other]
    found = clusters.agreement(group, person)
    assert found.precision == pytest.approx(np.sum(grouped & same) / np.sum(grouped))
    assert found.recall == pytest.approx(np.sum(grouped & same) / np.sum(same))


def test_near_duplicates_are_near_in_face_and_voice():
    rng = np.random.default_rng(0)
    faces = np.stack([near(i, 32, rng) for i in range(40)])
    voices = np.stack([near(100 + i, 32, rng) for i in range(40)])
    faces[7], voices[7] = faces[3], voices[3]  # a copy
    faces[9] = faces[4]  # the same image with another voice is not one
    (found,) = near_duplicates([f"c{i:02}" for i in range(40)], faces, voices)
    assert (found.clip_id, found.other) == ("c03", "c07")
    assert found.face == pytest.approx(1, abs=1e-6)  # float32


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "kmeans"}, "average"),
        ({"of": "ears"}, "voices"),
        ({"of": "faces"}, "hdbscan"),
        ({"where": "split = 'none'"}, "no clip"),
    ],
)
def test_what_cannot_be_clustered_is_said(world, tmp_path, wrong, said):
    with pytest.raises(InputError, match=said):
        clusters.clusters(world.uri, tmp_path / "out", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_hdbscan_refuses_more_than_it_can_do(world, tmp_path):
    with pytest.raises(InputError, match="at most 40"):
        clusters.clusters(world.uri, tmp_path / "out", method="hdbscan", most_hdbscan=40)


def planted_pairs(count=300, dim=16, seed=0):
    """Faces and voices that mostly suit each other, and people numbers."""
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(count, dim))
    faces, voices = own + rng.normal(size=own.shape), own + rng.normal(size=own.shape)
    unit = [(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (faces, voices)]
    return (*unit, np.arange(count))


def test_swapped_voices_score_lowest_and_have_any_percentile():
    faces, voices, person = planted_pairs(600, 64)
    swapped = np.arange(0, 600, 6)
    voices[swapped] = voices[np.roll(swapped, 1)]
    scores = outliers.score_clips(faces, voices, person)
    bad = np.isin(person, swapped)
    assert scores.score[bad].mean() < 0.5 < scores.score[~bad].mean()
    assert bad[np.argsort(scores.score)[:80]].mean() > 0.95
    # Kolmogorov and Smirnov's bound at 1 in 1000 for 100 pairs of strangers.
    drift = np.abs(np.sort(scores.percentile[bad]) - (np.arange(100) + 0.5) / 100).max()
    assert drift < 1.95 / np.sqrt(100)
    assert (np.argsort(scores.percentile, kind="stable")[0], scores.percentile.max() <= 1) == (
        scores.score.argmin(),
        True,
    )


def test_the_score_is_that_of_a_loop_over_other_people():
    faces, voices, person = planted_pairs(60)
    person = person // 2
    scores = outliers.score_clips(faces, voices, person, rows=7)
    for i in range(60):
        others = person != person[i]
        by_face, by_voice = voices[others] @ faces[i], faces[others] @ voices[i]
        own = faces[i] @ voices[i]
        expected = ((own - by_face.mean()) / by_face.std() + (own - by_voice.mean()) / by_voice.std()) / 2
        assert scores.score[i] == pytest.approx(expected, abs=1e-3)  # float32 scores, sums of squares in blocks


def test_outliers_of_a_store_are_listed_and_shown(world, tmp_path):
    seen = hashes_of("clip", np.array([world.query("clips")["clip_id"][0].as_py()]))
    model = SimpleNamespace(
        face_space=world.face_space,
        voice_space=world.voice_space,
        seen=seen,
        embed_faces=lambda x: x[:, :6],
        embed_voices=lambda x: x,
    )
    result = outliers.find_outliers(world, model, "a model", tmp_path / "out", most=3, fewest_people=5)
    rows = table_of(tmp_path / "out" / "outliers.csv")
    assert (result.clips, result.seen_in_training, len(rows)) == (48, 1, 48)
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores)
    assert sum(int(row["seen_in_training"]) for row in rows) == 1
    text = (tmp_path / "out" / "outliers.html").read_text()
    assert text.count("data:audio/flac") == text.count("data:image/jpeg") == 3
    assert "The model was trained on people of 1 of 48 clips" in text
    model.voice_space = "ecapa"
    with pytest.raises(SpaceError):
        outliers.find_outliers(world, model, "a model", tmp_path / "other")


def test_outliers_need_people_to_compare_with():
    faces, voices, person = planted_pairs(60)
    with pytest.raises(InputError, match="found 3 people, expected at least 20"):
        outliers.score_clips(faces, voices, person // 20)


def test_the_map_is_scikit_learns_pca(world, tmp_path):
    result = maps.draw_map(world.uri, tmp_path / "map.png", "voices", colour="snr_db")
    rows = sorted(table_of(tmp_path / "map.csv"), key=lambda row: row["clip_id"])
    snapshot = world.snapshot()
    clips = clips_with(snapshot, ("voices",), [])
    expected = PCA(2).fit_transform(directions(snapshot, "voices", None, clips))
    points = np.array([[float(row["x"]), float(row["y"])] for row in rows])
    # float32 vectors of norm 1; an axis may point the other way by scikit-learn's version.
    np.testing.assert_allclose(np.abs(points), np.abs(expected), atol=1e-5)
    snr = {row["clip_id"]: row["snr_db"] for row in world.query("voices").to_pylist()}  # one for each clip here
    assert [float(r["snr_db"]) if r["snr_db"] else None for r in rows] == [snr[row["clip_id"]] for row in rows]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert result.clips == 48


def test_principal_components_equal_the_singular_value_decomposition():
    vectors = (np.random.default_rng(0).normal(size=(50, 7)) * np.arange(1, 8)).astype(np.float32)
    points, shares = maps.principal_components(vectors)
    left, values, axes = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    sign = np.sign(axes[[0, 1], np.abs(axes[:2]).argmax(axis=1)])  # the largest loading of an axis is positive
    # Coordinates of up to 20 in float32, whose unit roundoff is 6e-8.
    np.testing.assert_allclose(points, left[:, :2] * values[:2] * sign, atol=1e-4)
    np.testing.assert_allclose(shares, (values**2 / (values**2).sum())[:2], atol=1e-5)


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.ones((5, 4)), np.arange(5)[:, None]], ids=str)
def test_a_map_of_points_without_two_dimensions_is_finite(vectors):
    points, shares = maps.principal_components(vectors.astype(np.float32))
    assert points.shape == (len(vectors), 2)
    assert not points[:, 1].any()  # nothing varies along a second axis
    assert shares == (float(len(np.unique(vectors)) > 1), 0.0)


def test_a_map_can_be_coloured_by_who_it_is_and_by_what_nobody_knows(world, tmp_path, capfd):
    for colour in ("identity", "licence", None):
        maps.draw_map(world.uri, tmp_path / f"{colour}.svg", colour=colour)
    assert "map: licence is unknown for every clip, so all points have one colour" in capfd.readouterr().err
    assert "<svg" in (tmp_path / "identity.svg").read_text()
    assert len(table_of(tmp_path / "identity.csv")) == 48


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"colour": "genderr"}, "did you mean 'gender'"),
        ({"colour": "face_id"}, "several for a clip"),
        ({"of": "ears"}, "faces"),
        ({"method": "tsne"}, "umap"),
        ({"out": "map.gif"}, "png"),
        ({"where": "split = 'none'"}, "no clip"),
    ],
)
def test_what_cannot_be_drawn_is_said(world, tmp_path, wrong, said):
    out = tmp_path / wrong.pop("out", "map.png")
    with pytest.raises(InputError, match=said):
        maps.draw_map(world.uri, out, **wrong)
    assert list(tmp_path.iterdir()) == []
