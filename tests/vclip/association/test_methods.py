"""Every method finds the planted relation in strangers and keeps it in a checkpoint, and each loss is its formula.

Tolerances: float32 sums in another order; references sum in double precision.
"""

import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import vclip
from vclip.association.evaluation import evaluate, unseen
from vclip.association.losses import sge2e_loss
from vclip.association.methods import METHODS, load, method_of
from vclip.association.methods.fop import orthogonal_loss
from vclip.association.methods.pins import FIRST, HARDER_EVERY, LAST, MARGIN, STEP, curriculum_loss
from vclip.association.methods.self_lifting import ALPHA, BASE, BETA, CLOSE, PseudoLabels, multi_similarity_loss
from vclip.association.methods.towers import TwoTowers
from vclip.association.model import AssociationModel
from vclip.association.training import TrainConfig, train
from vclip.errors import InputError, SpaceError


@pytest.mark.parametrize("name", METHODS)
def test_a_method_finds_the_relation_and_its_checkpoint_keeps_it(planted, tmp_path, name):
    method = method_of(name)
    config = method.config(TrainConfig(device="cpu"))
    config = config.model_copy(update={"max_steps": min(config.max_steps, 60), "cross_fit_below": 0})
    pairs, strangers = planted(), planted(people=60, seed=1)
    model, history = train(pairs, "faces", "voices", config, fit_one=method.fit)
    assert evaluate(model, strangers, draws=2).auc > 0.9
    assert history.best_dev_auc > 0.9
    assert len(unseen(model, pairs)) == 0
    again = load(model.save(tmp_path / "model", {}))
    assert (again.face_space, again.voice_space) == ("faces", "voices")
    np.testing.assert_array_equal(again.seen, model.seen)
    np.testing.assert_array_equal(again.embed_faces(strangers.faces), model.embed_faces(strangers.faces))
    np.testing.assert_array_equal(again.embed_voices(strangers.voices), model.embed_voices(strangers.voices))
    with pytest.raises(SpaceError):
        again.embed_voices(strangers.voices, "faces")


@pytest.fixture(scope="module")
def checkpoints(planted, tmp_path_factory):
    """A small checkpoint of each method, by name."""
    folders = {}
    for name in METHODS:
        config = method_of(name).config(TrainConfig(device="cpu"))
        config = config.model_copy(update={"max_steps": 0, "cross_fit_below": 0})
        model, _ = train(planted(people=12), "faces", "voices", config, fit_one=method_of(name).fit)
        made_by = {"method": name}
        folders[name] = model.save(tmp_path_factory.mktemp("methods") / name, {}, made_by)
    return folders


@pytest.mark.parametrize("name", METHODS)
def test_a_checkpoint_that_lacks_a_weight_is_refused_by_the_weights_name(checkpoints, tmp_path, name):
    whole = load_file(checkpoints[name] / "model.safetensors")
    for lost in set(whole) - {"seen"}:
        folder = shutil.copytree(checkpoints[name], tmp_path / lost)
        save_file({key: value for key, value in whole.items() if key != lost}, folder / "model.safetensors")
        with pytest.raises(InputError, match=re.escape(lost)):
            vclip.load_association(folder)


def test_the_class_of_another_method_says_what_loads_a_checkpoint(checkpoints):
    for loader, name in ((AssociationModel, "pins"), (TwoTowers, "vclip")):
        with pytest.raises(InputError, match=f"a model of the method '{name}'.*vclip.load_association"):
            loader.load(checkpoints[name])
    assert AssociationModel.load(checkpoints["cca"]).face_space == "faces"


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_in_every_precision_on_a_cpu(planted, name, precision):
    config = method_of(name).config(TrainConfig(device="cpu", precision=precision))
    config = config.model_copy(update={"max_steps": min(config.max_steps, 3), "cross_fit_below": 0})
    model, _ = train(planted(people=24), "faces", "voices", config, fit_one=method_of(name).fit)
    embedded = model.embed_faces(planted(people=2, seed=1).faces)
    assert embedded.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)  # float32


@pytest.mark.parametrize("name", ["vclip", "pins"])
def test_vectors_that_nobody_can_learn_from_are_an_error(planted, name):
    """Of the first clip, which all but one of the folds train on."""
    fit, config = METHODS[name].fit, TrainConfig(max_steps=1, device="cpu")
    for side, value in (("faces", np.nan), ("voices", np.inf)):
        pairs = planted(people=12, clips_each=1)
        getattr(pairs, side)[0, 2] = value
        with pytest.raises(InputError, match=rf"clip 'clip0-0000': its {side[:-1]} vector holds NaN.*\(1 of"):
            train(pairs, "faces", "voices", config, fit_one=fit)
        getattr(pairs, side)[:] = 1
        with pytest.raises(InputError, match=f"the {side[:-1]} vectors of all clips are the same"):
            train(pairs, "faces", "voices", config, fit_one=fit)


def test_what_somebody_asks_for_counts_more_than_advice_and_less_than_what_a_method_is():
    asked = TrainConfig(max_steps=5, batch_size=7)
    assert method_of("pins").config(asked).batch_size == 7
    assert method_of("pins").config(TrainConfig()).batch_size == 64
    assert method_of("cca").config(asked).max_steps == 0
    assert method_of("vclip").config(asked) == asked


def test_an_unknown_method_is_an_error_that_names_those_there_are():
    with pytest.raises(InputError, match=r"'pin': unknown name; did you mean 'pins'.*vclip, paper.*pins"):
        method_of("pin")


def unit(*shape, seed=0):
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_sge2e_is_the_cross_entropy_of_each_face_over_the_voices_means():
    faces, voices, log_scale = unit(5, 3, 8), unit(5, 3, 8, seed=1), torch.tensor(1.3)
    expected = []
    for person in range(5):
        for face in faces[person]:
            cosines = [torch.cosine_similarity(face, voices[other].mean(0), dim=0) for other in range(5)]
            logits = log_scale.exp() * torch.stack(cosines)
            expected.append(-logits[person] + torch.logsumexp(logits, 0))
    torch.testing.assert_close(sge2e_loss(faces, voices, log_scale), torch.stack(expected).mean())


@pytest.mark.parametrize("step", [1, HARDER_EVERY, 3 * HARDER_EVERY, 100 * HARDER_EVERY])
def test_pins_negatives_get_harder_up_to_a_limit(step):
    faces, voices = unit(21, 4), unit(21, 4, seed=1)
    share = min(LAST, FIRST + STEP * (step // HARDER_EVERY))
    expected = float(sum((faces[i] - voices[i]).square().sum() for i in range(21)) / 21)
    for a, b in ((faces, voices), (voices, faces)):
        for i in range(21):
            far = sorted((float((a[i] - b[j]).norm()) for j in range(21) if j != i), reverse=True)
            expected += max(0.0, MARGIN - far[min(19, int(share * 20))]) ** 2 / 21 / 2
    assert float(curriculum_loss(faces, voices, None, step)) == pytest.approx(expected, abs=1e-4)


def test_orthogonal_loss_is_least_where_people_are_at_right_angles():
    person = torch.tensor([0, 0, 1, 1, 2])
    apart = torch.eye(3)[person]
    assert float(orthogonal_loss(apart, person)) == pytest.approx(0, abs=1e-6)
    assert float(orthogonal_loss(torch.ones(5, 3) / 3**0.5, person)) == pytest.approx(1, abs=1e-6)
    assert float(orthogonal_loss(unit(5, 3), person)) > 0.1


def test_multi_similarity_is_its_formula():
    vectors, label = unit(12, 4), torch.arange(12) % 4
    cosine, losses = vectors @ vectors.T, []
    for i in range(12):
        same = [float(cosine[i, j]) for j in range(12) if j != i and label[j] == label[i]]
        other = [float(cosine[i, j]) for j in range(12) if label[j] != label[i]]
        pull = [s for s in same if s - CLOSE < max(other)]
        push = [o for o in other if o + CLOSE > min(same)]
        losses.append(
            np.log1p(sum(np.exp(-ALPHA * (s - BASE)) for s in pull)) / ALPHA
            + np.log1p(sum(np.exp(BETA * (o - BASE)) for o in push)) / BETA
        )
    assert float(multi_similarity_loss(vectors, label)) == pytest.approx(np.mean(losses), rel=1e-4)


def test_self_lifting_reads_no_identity(planted):
    pairs = planted(people=40)
    model = TwoTowers("self-lifting", "f", "v", pairs.faces.shape[1], pairs.voices.shape[1], shared=True).train()
    labels = PseudoLabels(len(pairs))
    first = labels.at(1, model, pairs, seed=0).clone()
    assert model.training
    assert len(first) == len(pairs)
    assert 2 <= len(set(first.tolist())) <= len(pairs) // 10
    pairs.identity[:] = "nobody"
    torch.testing.assert_close(PseudoLabels(len(pairs)).at(1, model, pairs, seed=0), first)
    torch.nn.init.normal_(model.face_front[1].weight)
    torch.testing.assert_close(labels.at(2, model, pairs, seed=0), first)  # the round of step 1
    assert not torch.equal(labels.at(51, model, pairs, seed=0), first)


@pytest.mark.parametrize("name", ["pins", "self-lifting", "fop"])
def test_a_method_that_is_interrupted_resumes_with_the_same_result(planted, tmp_path, name):
    pairs, dev, method = planted(people=60), planted(people=20, seed=2), METHODS[name]
    config = method.config(TrainConfig(max_steps=40, evaluate_every=10, device="cpu"))

    def stop(step, total, value):
        if step == 37:  # after the state of step 30 was written
            raise KeyboardInterrupt

    expected, whole = method.fit(pairs, dev, "faces", "voices", config)
    with pytest.raises(KeyboardInterrupt):
        method.fit(pairs, dev, "faces", "voices", config, stop, tmp_path / "state")
    model, history = method.fit(pairs, dev, "faces", "voices", config, None, tmp_path / "state")
    assert history.dev_auc == whole.dev_auc
    np.testing.assert_array_equal(model.embed_faces(dev.faces), expected.embed_faces(dev.faces))
