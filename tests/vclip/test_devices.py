"""Every model runs where the one rule of `vclip.device` says; on the stand-in for a GPU it gives what the CPU gives.

The stand-in computes with the CPU's kernels, so results are equal, and what differs is a tensor in the wrong place.
"""

import copy
from itertools import product

import numpy as np
import open_clip
import pytest
import torch

from tests.support.cuda_double import cuda_double
from tests.support.planted_pairs import planted_pairs as planted
from tests.support.small_voices import small_vits
from tests.support.speakers_world import D_VOICE, random_model, two_genders
from vclip import load_association
from vclip.association.methods import METHODS
from vclip.association.model import AssociationConfig
from vclip.association.training import TrainConfig, train
from vclip.device import torch_device
from vclip.encoders import embed_texts, open_face_encoder, open_voice_encoder
from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.baselines import REFERENCES, SYSTEMS, choose_speakers
from vclip.speakers.generator_fit import GeneratorConfig, fit_generator
from vclip.speakers.guided_search import GuidedConfig
from vclip.speakers.signature import SignatureConfig, TTSSignature, fit_signature
from vclip.speakers.voice_search import SCORES, Search, SearchConfig, face_directions
from vclip.testing import crops, utterances
from vclip.tts import open_tts

QUICK = TrainConfig(
    model=AssociationConfig(hidden=16, couplings=2, coupling_hidden=8),
    max_steps=4,
    evaluate_every=2,
    batch_size=16,
    cross_fit_below=0,
)


class Killed(Exception):
    """A run that ends in the middle."""


def _devices_of(module):
    return {parameter.device.type for parameter in module.parameters()}


def test_the_stand_in_refuses_what_cuda_refuses_and_counts_copies():
    with cuda_double() as counts:
        x, w = torch.ones(3, device="cuda"), torch.ones(3, device="cpu")
        for refused, why in (
            (lambda: x + w, "two devices"),
            (lambda: torch.stack([x, w]), "two devices"),
            (lambda: w.add_(x), "two devices"),
            (lambda: x.numpy(), "numpy"),
            (lambda: np.asarray(x), "numpy"),
            (lambda: torch.randn(3, device="cuda", generator=torch.Generator()), "generator"),
        ):
            with pytest.raises((RuntimeError, TypeError), match=why):
                refused()
        assert (counts.to_gpu, counts.to_cpu) == (0, 0)
        up = w.pin_memory().to("cuda", non_blocking=True) + w.to(x)
        assert (counts.to_gpu, counts.to_gpu_waiting) == (2, 1)
        assert up.cpu().tolist() == [2, 2, 2]
        assert counts.to_cpu == 1
        before = torch.get_rng_state()
        assert not torch.equal(torch.randn(3, device="cuda").cpu(), torch.randn(3, device="cuda").cpu())
        assert torch.equal(torch.get_rng_state(), before), "the GPU has a generator of its own"
    assert not torch.cuda.is_available() or torch.cuda.get_device_name()


def test_one_rule_chooses_the_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert torch_device().type == torch_device("").type == torch_device("cpu").type == "cpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(InputError, match=r"device 'cuda': torch .* finds no GPU .*CUDA_VISIBLE_DEVICES='3'"):
        torch_device("cuda")
    with cuda_double():
        assert torch_device().type == torch_device("cuda").type == "cuda"
        assert torch_device("cpu").type == "cpu"


def test_voices_have_one_vector_on_both_devices():
    spoken = utterances(5, 16_000)
    expected = open_voice_encoder("resemblyzer", "cpu").embed(spoken)
    with cuda_double():
        encoder = open_voice_encoder("resemblyzer")
        assert _devices_of(encoder) == {"cuda"}
        found = encoder.embed(spoken)
        with torch.autocast("cuda", torch.bfloat16):
            lower = encoder.embed(spoken)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(lower, expected)


def test_faces_and_texts_have_one_vector_on_both_devices(tmp_path):
    torch.manual_seed(0)
    torch.save(open_clip.create_model("ViT-S-32-alt").state_dict(), tmp_path / "random.pt")
    spec, texts, faces = f"open_clip:ViT-S-32-alt/{tmp_path / 'random.pt'}", ["a man"], crops(3)
    encoder = open_face_encoder(spec, "cpu")
    expected, expected_texts = encoder.embed(faces), embed_texts(encoder, texts)
    with cuda_double(), torch.autocast("cuda", torch.bfloat16):
        encoder = open_face_encoder(spec)
        assert encoder.device.type == "cuda"
        np.testing.assert_allclose(encoder.embed(faces), expected, atol=1e-6)
        np.testing.assert_allclose(embed_texts(encoder, texts), expected_texts, atol=1e-6)


def test_a_space_has_one_precision_whatever_the_program_has_chosen():
    encoder, seen = open_voice_encoder("resemblyzer", "cpu"), []
    encoder.register_forward_pre_hook(lambda *_: seen.append(torch.get_float32_matmul_precision()))
    torch.set_float32_matmul_precision("medium")
    try:
        encoder.embed(utterances(1, 16_000))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert seen == ["highest"]


CASES = [*product(METHODS, ("float32", "bf16"), (0,)), *product(("vclip", "sge2e"), ("float32", "bf16"), (6,))]


@pytest.mark.parametrize(("name", "precision", "chunk"), CASES)
def test_every_method_trains_on_both_devices_alike(name, precision, chunk):
    """The losses are equal where nothing is drawn on the device, so noise and dropout are off."""
    method, pairs = METHODS[name], planted(people=24, clips_each=1)
    quiet = {"max_steps": 2, "feature_noise": 0.0, "model": QUICK.model.model_copy(update={"dropout": 0.0})}
    config = method.config(QUICK.model_copy(update={"precision": precision, "chunk": chunk, **quiet}))
    config = config.model_copy(update={"batch_size": 16})

    def trained(device):
        return train(pairs, "f", "v", config.model_copy(update={"device": device}), fit_one=method.fit)

    _, on_cpu = trained("cpu")
    with cuda_double():
        model, on_gpu = trained("")
        assert _devices_of(model) == {"cuda"}
        model.embed_faces(pairs.faces)
    np.testing.assert_allclose(on_gpu.loss, on_cpu.loss, rtol=1e-4)
    np.testing.assert_allclose(on_gpu.dev_auc, on_cpu.dev_auc, atol=1e-4)


@pytest.mark.parametrize("start", ["likelihood", "cca", "ridge"])
def test_a_gpu_without_float64_trains_from_the_start_of_the_cpu(start):
    config = QUICK.model_copy(update={"max_steps": 0, "start": start})
    expected, on_cpu = train(planted(people=24), "f", "v", config.model_copy(update={"device": "cpu"}))
    with cuda_double(float64=False):
        with pytest.raises(TypeError, match="float64"):
            torch.zeros(1, device="cuda").double()
        model, on_gpu = train(planted(people=24), "f", "v", config)
        assert _devices_of(model) == {"cuda"}
        found = {name: value.cpu() for name, value in model.state_dict().items()}
        train(planted(people=24), "f", "v", QUICK.model_copy(update={"start": start}))
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
    np.testing.assert_allclose(on_gpu.dev_auc, on_cpu.dev_auc, atol=1e-6)


@pytest.mark.parametrize(("name", "copied"), [("paper", 2), ("pins", 3)])
def test_a_step_copies_the_numbers_of_its_rows_to_the_device_and_nothing_else(name, copied):
    method, pairs = METHODS[name], planted(people=30, clips_each=1)

    def copies(steps):
        config = method.config(QUICK.model_copy(update={"max_steps": steps, "evaluate_every": 100}))
        with cuda_double() as counts:
            train(pairs, "f", "v", config, fit_one=method.fit)
        return counts.to_gpu

    assert copies(4) - copies(2) == 2 * copied


@pytest.mark.parametrize("name", ["vclip", "fop"])
def test_a_run_that_was_killed_on_one_device_goes_on_on_the_other(name, tmp_path, monkeypatch):
    method, pairs, state = METHODS[name], planted(people=40), tmp_path / "state"
    config = method.config(QUICK.model_copy(update={"max_steps": 8})).model_copy(update={"batch_size": 16})

    def run(on_step=None, data=pairs, **changes):
        given = config.model_copy(update=changes)
        return train(data, "f", "v", given, on_step, state, fit_one=method.fit)

    def kill(step, *_):
        if step == 5:
            raise Killed

    with cuda_double(), pytest.raises(Killed):
        run(kill)
    kept = state.read_bytes()
    drawn = torch.nn.init.kaiming_uniform_  # two devices round the initial weights differently
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda *a, **k: drawn(*a, **k).data.mul_(1 + 1e-6))
    model, history = run(device="cpu")
    assert history.step == [0, 2, 4, 6, 8]
    assert _devices_of(model) == {"cpu"}
    assert not state.exists()
    state.write_bytes(kept)
    with cuda_double():
        assert run()[1].step == history.step
    other = copy.deepcopy(pairs)
    other.voices[3, 5] = np.nextafter(other.voices[3, 5], np.float32(2))
    for changes in ({"seed": 1}, {"learning_rate": 1.0}, {"data": other}):
        state.write_bytes(kept)
        with pytest.raises(InputError, match="another run"):
            run(**changes, device="cpu")


@pytest.fixture(scope="module")
def speakers():
    """A generator, a model and a signature, small and random."""
    generator, _ = fit_generator(two_genders(), GeneratorConfig(speakers_per_component=30))
    torch.manual_seed(1)
    signature = TTSSignature("made-up", "voices", "voices", D_VOICE, D_VOICE, 16, 0.1).eval()
    for parameter in signature.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    signature.mean.copy_(torch.as_tensor(generator.mean))
    signature.scale.fill_(0.2)
    return generator, random_model(), signature


@pytest.mark.parametrize(("score", "diversity"), product(SCORES, (0.0, 0.5)))
@pytest.mark.parametrize(("model_on", "signature_on"), [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda")])
def test_a_search_takes_its_parts_from_any_device(speakers, score, diversity, model_on, signature_on):
    generator, model, signature = speakers
    faces = np.random.default_rng(0).standard_normal((3, len(model.face_input.mean))).astype(np.float32)
    guided = GuidedConfig(draws=300, steps=3, floor=0.2)
    config = SearchConfig(score=score, diversity=diversity, candidates=300, guided=guided)

    def found(model, signature):
        return Search(model, generator, signature, config).find(face_directions(model, faces), 3)

    expected = found(model, signature)
    with cuda_double():
        parts = copy.deepcopy(model).to(model_on), copy.deepcopy(signature).to(signature_on)
        result = found(*parts)
        assert [_devices_of(part) for part in parts] == [{model_on}, {signature_on}], "they stay where they were"
    np.testing.assert_allclose(result.speakers, expected.speakers, atol=1e-5)
    np.testing.assert_allclose(result.scores, expected.scores, atol=1e-5)


def test_every_system_of_an_evaluation_chooses_with_a_model_on_the_gpu_and_a_signature_on_the_cpu():
    """As `evaluate-generation` does: it trains its models where `train.device` says."""
    pairs, judged = planted(people=60, clips_each=1), planted(people=5, clips_each=1, seed=1)
    bank = SpeakerBank("v", pairs.clip_id[pairs.voice_clip], np.abs(pairs.voices), np.full(len(pairs.voices), ""))
    generator, _ = fit_generator(bank, GeneratorConfig(speakers_per_component=30))
    signature = TTSSignature("t", "v", "v", pairs.voices.shape[1], pairs.voices.shape[1], 8, 0.0).eval()
    config = SearchConfig(candidates=200, guided=GuidedConfig(draws=200, steps=2, floor=0.2))
    with cuda_double():
        model, _ = train(pairs, "f", "v", METHODS["ridge"].config(QUICK))
        for name in REFERENCES + SYSTEMS:
            choice = choose_speakers(name, judged, pairs, model, generator, signature, config, 2)
            assert choice is not None, name
            assert np.isfinite(choice.speakers).all()


def test_models_are_loaded_where_the_gpu_is(speakers, tmp_path):
    _, model, signature = speakers
    model.save(tmp_path / "model", {})
    signature.save(tmp_path / "signature", {})
    loaders = [(load_association, tmp_path / "model"), (TTSSignature.load, tmp_path / "signature")]
    with cuda_double():
        for load, folder in loaders:
            assert _devices_of(load(folder)) == {"cuda"}
            assert _devices_of(load(folder, "cpu")) == {"cpu"}


def test_a_signature_is_fitted_on_the_gpu_and_saved_from_there(tmp_path):
    rng = np.random.default_rng(0)
    speakers = rng.standard_normal((60, 6)).astype(np.float32)
    voices, config = np.tanh(speakers), SignatureConfig(hidden=16, max_epochs=3, dropout=0.0)
    expected, metrics = fit_signature("t", "s", "v", speakers, voices, config, predicted=(speakers, voices))
    with cuda_double():
        fitted, found = fit_signature("t", "s", "v", speakers, voices, config, predicted=(speakers, voices))
        assert _devices_of(fitted) == {"cuda"}
        assert found.cosine_held_out == pytest.approx(metrics.cosine_held_out, abs=1e-5)
        fitted.save(tmp_path / "s", found.to_json())
        again = TTSSignature.load(tmp_path / "s", "cpu")
    np.testing.assert_allclose(again.predict(speakers), expected.predict(speakers), atol=1e-5)


def test_vits_speaks_the_same_on_both_devices(tmp_path):
    spec = f"vits:{small_vits(tmp_path)}"
    tts = open_tts(spec, "cpu")
    speaker = tts.known_speakers(3).vectors[2]
    expected = tts.synthesize("hello there", speaker)
    with cuda_double():
        tts = open_tts(spec)
        assert _devices_of(tts._model) == {"cuda"}
        before = torch.cuda.get_rng_state()
        spoken = tts.synthesize("hello there", speaker)
        assert torch.equal(torch.cuda.get_rng_state(), before)
    np.testing.assert_allclose(spoken, expected, atol=1e-5)
