"""What only a GPU can show: its arithmetic, its speed and its errors. Run `python -m pytest -m gpu -s tests/gpu`.

Weights and data are made up. Each test prints its figures as JSON, for docs/sizing.md.
"""

import copy
import json
import subprocess
import sys
import time
from itertools import product

import numpy as np
import open_clip
import pytest
import torch
from skimage import data

from pipelines.cluster.actors import LastingError, StageActor
from pipelines.extraction.faces.detectors import CenterFaceDetector
from tests.support.planted_pairs import planted_pairs
from tests.support.small_voices import small_vits
from tests.support.speakers_world import D_FACE, D_VOICE, random_model, two_genders
from tests.support.vclip_command import ROOT
from vclip.association.methods import METHODS
from vclip.association.training import TrainConfig, train
from vclip.encoders import embed_texts, open_face_encoder, open_voice_encoder
from vclip.encoders.batches import Batches
from vclip.onnx_session import has_gpu
from vclip.speakers.generator_fit import GeneratorConfig, fit_generator
from vclip.speakers.guided_search import GuidedConfig
from vclip.speakers.signature import SignatureConfig, TTSSignature, fit_signature
from vclip.speakers.voice_search import SCORES, Search, SearchConfig, top_k
from vclip.testing import crops, utterances
from vclip.tts import open_tts

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")]
SAME = 1e-4  # elements of two vectors that count as the same throughout the toolkit
FED = 0.5  # of the network's own speed, at least, is reached when it is fed as a job feeds it
MODEL = "ViT-B-32-quickgelu"


def _report(**figures):
    name = torch.cuda.get_device_name()
    print(json.dumps({"gpu": name, "torch": torch.__version__, **figures}, default=float), flush=True)


def _per_s(work, count, for_s=3.0):
    work()
    torch.cuda.synchronize()
    begun_s, done = time.monotonic(), 0
    while time.monotonic() - begun_s < for_s:
        work()
        torch.cuda.synchronize()
        done += count
    return done / (time.monotonic() - begun_s)


def test_voices_have_the_vectors_of_the_cpu_and_the_network_is_fed():
    spoken = utterances(24, 16_000)
    on_cpu, on_gpu = open_voice_encoder("resemblyzer", "cpu"), open_voice_encoder("resemblyzer", "cuda")
    vectors = on_gpu.embed(spoken)
    np.testing.assert_allclose(vectors, on_cpu.embed(spoken), atol=SAME)
    np.testing.assert_array_equal(vectors, on_gpu.embed(spoken))
    np.testing.assert_allclose(vectors[:1], on_gpu.embed(spoken[:1]), atol=SAME)
    with torch.autocast("cuda", torch.bfloat16):
        np.testing.assert_array_equal(on_gpu.embed(spoken), vectors)
    prepared = [on_gpu.prepare(one) for one in spoken * 10]
    seconds = sum(map(len, spoken)) / 16_000 * 10
    partials = torch.from_numpy(np.concatenate(prepared)).cuda()

    @torch.inference_mode()
    def network():
        for batch in partials.split(512):
            on_gpu(batch)

    fed, alone = _per_s(lambda: on_gpu.embed_prepared(prepared), seconds), _per_s(network, seconds)
    _report(speech_s_per_s=fed, network_alone=alone)
    assert fed > FED * alone


def test_faces_have_the_vectors_of_the_cpu_and_the_network_is_fed(tmp_path):
    torch.manual_seed(0)
    torch.save(open_clip.create_model(MODEL).state_dict(), tmp_path / "RANDOM.pt")
    spec, faces = f"open_clip:{MODEL}/{tmp_path / 'RANDOM.pt'}", crops(16)
    on_cpu, on_gpu = open_face_encoder(spec, "cpu"), open_face_encoder(spec, "cuda")
    vectors = on_gpu.embed(faces)
    np.testing.assert_allclose(vectors, on_cpu.embed(faces), atol=SAME)
    np.testing.assert_array_equal(vectors, on_gpu.embed(faces))
    np.testing.assert_allclose(embed_texts(on_gpu, ["a man"]), embed_texts(on_cpu, ["a man"]), atol=SAME)
    prepared = [on_gpu.prepare(one) for one in crops(1024)]
    images = torch.randn(256, 3, 224, 224, device="cuda")

    @torch.inference_mode()
    def network():
        on_gpu._model.encode_image(images)

    fed, alone = _per_s(lambda: on_gpu.embed_prepared(prepared), 1024), _per_s(network, 256)
    _report(crops_per_s=fed, network_alone=alone)
    assert fed > FED * alone


@pytest.mark.skipif(not has_gpu(), reason="onnxruntime is not built for GPUs; pip install onnxruntime-gpu")
def test_the_face_detector_finds_what_it_finds_on_the_cpu():
    frame = data.astronaut()[:360]
    frames = [np.roll(frame, shift, axis=1) for shift in range(0, 128, 2)]
    on_cpu, on_gpu = CenterFaceDetector(), CenterFaceDetector(device="cuda")
    for one, other in zip(on_cpu(frames), on_gpu(frames), strict=True):
        np.testing.assert_allclose([face.box for face in one], [face.box for face in other], atol=0.1)
    _report(frames_per_s=_per_s(lambda: on_gpu(frames), len(frames)))


def test_training_gives_the_same_twice_and_what_the_cpu_gives():
    pairs, figures = planted_pairs(people=3200, clips_each=1), {}
    config = TrainConfig(max_steps=60, evaluate_every=20, batch_size=512, cross_fit_below=0, device="cuda")
    expected = train(pairs, "f", "v", config.model_copy(update={"device": "cpu"}))[1].best_dev_auc
    for precision, chunk in product(("float32", "bf16"), (0, 128)):
        given = config.model_copy(update={"precision": precision, "chunk": chunk})
        one, two = (train(pairs, "f", "v", given)[1] for _ in range(2))
        assert (one.dev_auc, one.loss[1:]) == (two.dev_auc, two.loss[1:])
        figures[f"{precision}/{chunk}"] = one.best_dev_auc
    _report(auc_on_cpu=expected, **figures)
    assert max(abs(found - expected) for found in figures.values()) < 0.01


@pytest.mark.parametrize(("name", "precision"), product(METHODS, ("float32", "bf16")))
def test_every_method_trains(name, precision):
    method = METHODS[name]
    config = TrainConfig(max_steps=8, evaluate_every=4, cross_fit_below=0, precision=precision, device="cuda")
    _, history = train(planted_pairs(people=150), "f", "v", method.config(config), fit_one=method.fit)
    assert np.isfinite([*history.loss[1:], *history.dev_auc]).all()


def test_a_run_goes_on_on_the_gpu_and_on_the_cpu(tmp_path):
    pairs, state = planted_pairs(people=150), tmp_path / "state"
    config = TrainConfig(max_steps=12, evaluate_every=4, batch_size=64, cross_fit_below=0, device="cuda")

    class Killed(Exception):
        pass

    def kill(step, *_):
        if step == 9:
            raise Killed

    with pytest.raises(Killed):
        train(pairs, "f", "v", config, kill, state)
    kept = state.read_bytes()
    resumed, whole = (train(pairs, "f", "v", config, None, s)[1] for s in (state, None))
    assert resumed.dev_auc == whole.dev_auc
    state.write_bytes(kept)
    on_cpu = train(pairs, "f", "v", config.model_copy(update={"device": "cpu"}), None, state)[1]
    assert on_cpu.dev_auc[:3] == whole.dev_auc[:3]


@pytest.fixture(scope="module")
def speakers():
    generator, _ = fit_generator(two_genders(), GeneratorConfig(speakers_per_component=30))
    torch.manual_seed(1)
    signature = TTSSignature("made-up", "voices", "voices", D_VOICE, D_VOICE, 16, 0.1).eval()
    signature.mean.copy_(torch.as_tensor(generator.mean))
    return generator, random_model(), signature


@pytest.mark.parametrize("score", SCORES)
def test_a_search_finds_what_it_finds_on_the_cpu(speakers, score):
    generator, model, signature = speakers
    faces = model.embed_faces(np.random.default_rng(0).standard_normal((4, D_FACE)).astype(np.float32))
    config = SearchConfig(score=score, guided=GuidedConfig(floor=0.2))
    expected = Search(model, generator, signature, config).find(faces, 3)
    found = Search(copy.deepcopy(model).cuda(), generator, signature, config).find(faces, 3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-2)


def test_the_best_voices_are_those_of_the_cpu():
    rng = np.random.default_rng(0)
    faces, voices = (rng.standard_normal((n, 256)).astype(np.float32) for n in (2000, 200_000))
    faces, voices = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (faces, voices))
    (rows, scores), (expected_rows, expected) = top_k(faces, voices, 10, "cuda"), top_k(faces, voices, 10)
    _report(faces_per_s=_per_s(lambda: top_k(faces, voices, 10, "cuda"), len(faces)))
    assert (rows == expected_rows).mean() > 0.999
    np.testing.assert_allclose(scores, expected, atol=SAME)


def test_vits_and_a_signature_give_what_they_give_on_the_cpu(tmp_path):
    spec = f"vits:{small_vits(tmp_path)}"
    on_cpu, on_gpu = open_tts(spec, "cpu"), open_tts(spec, "cuda")
    speaker = on_cpu.known_speakers(3).vectors[2]
    expected, spoken = (tts.synthesize("hello there", speaker) for tts in (on_cpu, on_gpu))
    assert np.corrcoef(expected, spoken)[0, 1] > 0.999
    vectors = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    fitted = [
        fit_signature("t", "s", "v", vectors, np.tanh(vectors), SignatureConfig(max_epochs=30, device=device))[1]
        for device in ("cpu", "cuda")
    ]
    assert abs(fitted[0].cosine_held_out - fitted[1].cosine_held_out) < 0.02


def test_a_batch_that_does_not_fit_into_the_memory_is_halved():
    free, _ = torch.cuda.mem_get_info()
    one = free // 5  # bytes for each medium

    def embed(media):
        held = torch.empty(one * len(media), dtype=torch.uint8, device="cuda")
        return held[: len(media)].float()[:, None].cpu().numpy()

    batches = Batches(embed, 16)
    assert batches(list(range(20))).shape == (20, 1)
    assert batches.size <= 4


FAULT = """
import torch
from pipelines.cluster.actors import StageActor
actor = StageActor(None)
actor._work = lambda items: torch.zeros(4, 4, device="cuda")[torch.full((len(items),), 99, device="cuda")].cpu()
print(type(actor.work([1, 2], [3])).__name__)
"""


def test_an_error_that_breaks_the_context_ends_the_actor():
    """In a process of its own, whose context is lost by it."""
    done = subprocess.run([sys.executable, "-c", FAULT], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == [LastingError.__name__], done.stderr[-1000:]
    assert StageActor(list).work([1], [2]) == [[1], [2]]
