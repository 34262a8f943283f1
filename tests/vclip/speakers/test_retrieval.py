"""Scores are cosines of the right spaces, and the pick is the greedy one, by brute force."""

import numpy as np
import pytest
import torch

from vclip.association.model import AssociationConfig, AssociationModel
from vclip.errors import InputError, SpaceError
from vclip.speakers.metrics import f2v
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice_search import expected_voices, face_directions, pick_diverse, suitability, top_k

D_FACE, D_VOICE = 7, 6


@pytest.fixture(scope="module")
def model():
    """A model with random weights everywhere, so that neither projection is the identity."""
    torch.manual_seed(0)
    model = AssociationModel("faces", "voices", D_FACE, D_VOICE, AssociationConfig(hidden=8, coupling_hidden=8))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def _unit(rows, dim=D_VOICE, seed=0):
    vectors = np.random.default_rng(seed).normal(size=(rows, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _signature(speaker_space="voices", voice_space="voices", d_in=D_VOICE):
    torch.manual_seed(1)
    return TTSSignature("made-up", speaker_space, voice_space, d_in, D_VOICE, 8, 0.1)


def test_suitability_is_the_cosine_of_the_projections(model):
    faces, voices = _unit(4, D_FACE), _unit(9)
    scores = suitability(model, faces, voices)
    assert scores.shape == (4, 9)
    with torch.no_grad():
        x, e = (torch.as_tensor(a) for a in (faces, voices))
        phi_i = model.eval().face_projection(model.face_input(x))
        phi_v = model.voice_projection(model.voice_input(e))
        expected = torch.cosine_similarity(phi_i[:, None], phi_v[None], dim=-1)
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(f2v(model, faces, voices[:4]), np.diag(expected[:, :4]), atol=1e-5)
    assert np.ptp(scores) > 0.1


def test_naive_voices_are_the_candidates_and_informed_ones_what_the_signature_expects(model):
    candidates, signature = _unit(5), _signature()
    np.testing.assert_array_equal(expected_voices(candidates, "voices", model, None), candidates)
    informed = expected_voices(candidates, "voices", model, signature)
    np.testing.assert_array_equal(informed, signature.predict(candidates))
    assert np.abs(informed - candidates).max() > 0.1


def test_the_naive_score_is_refused_across_spaces_and_the_informed_one_is_not(model):
    own = _unit(5, dim=3)
    with pytest.raises(SpaceError, match=r"naive score.*in the space 'vits/table', expected 'voices'"):
        expected_voices(own, "vits/table", model, None)
    assert expected_voices(own, "vits/table", model, _signature("vits/table", d_in=3)).shape == (5, D_VOICE)


def test_a_signature_between_other_spaces_is_refused(model):
    with pytest.raises(SpaceError, match="in the space 'ecapa', expected 'voices'"):
        expected_voices(_unit(5), "voices", model, _signature(voice_space="ecapa"))
    with pytest.raises(SpaceError, match="in the space 'voices', expected 'vits/table'"):
        expected_voices(_unit(5), "voices", model, _signature("vits/table"))


@pytest.mark.parametrize(("faces", "k"), [(3, 1), (3, 7), (2500, 3), (3, 40)])
def test_top_k_is_that_of_a_sort(faces, k):
    x, voices = _unit(faces), _unit(40, seed=1)
    rows, scores = top_k(x, voices, k)
    expected = np.sort(x @ voices.T, axis=1)[:, ::-1][:, :k]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(x @ voices.T, rows, 1), expected, atol=1e-5)
    with pytest.raises(InputError, match="requested 41 voices of 40"):
        top_k(x, voices, 41)


def test_several_photos_of_a_person_count_as_their_mean_direction(model):
    faces = _unit(5, D_FACE)
    each = face_directions(model, faces)
    np.testing.assert_array_equal(each, model.embed_faces(faces))
    people = face_directions(model, faces, [1, 0, 1, 0, 1])
    for person, rows in ((0, [1, 3]), (1, [0, 2, 4])):
        mean = each[rows].sum(axis=0)
        np.testing.assert_allclose(people[person], mean / np.linalg.norm(mean), atol=1e-6)
    voices = _unit(2)
    expected = (people * model.embed_voices(voices)).sum(axis=1)
    np.testing.assert_allclose(f2v(model, faces, voices, [1, 0, 1, 0, 1]), expected, atol=1e-6)


@pytest.mark.parametrize("diversity", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 1])
def test_diverse_pick_is_maximal_marginal_relevance(diversity, seed):
    voices = _unit(50, seed=seed)
    scores = np.random.default_rng(seed + 10).normal(size=50)
    picked = pick_diverse(scores, voices, 6, diversity)
    expected = [int(scores.argmax())]
    for _ in range(5):
        left = [i for i in range(50) if i not in expected]
        value = {
            i: (1 - diversity) * scores[i] - diversity * max(voices[i] @ voices[j] for j in expected) for i in left
        }
        expected.append(max(value, key=value.get))
    assert picked == expected
    assert pick_diverse(scores, voices, 50, diversity)[:6] == expected


def test_more_diversity_is_less_alike():
    voices = np.abs(_unit(400, seed=2))
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    scores = voices[:, 0]

    def alike(diversity):
        chosen = voices[pick_diverse(scores, voices, 5, diversity)]
        return (chosen @ chosen.T)[np.triu_indices(5, 1)].mean()

    assert alike(0.0) > alike(0.5) + 0.05 > alike(0.9) + 0.05
