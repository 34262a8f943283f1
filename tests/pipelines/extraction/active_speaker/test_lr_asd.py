"""LR-ASD scores what the reference formulas give, in blocks as at once, and takes only the weights it knows."""

import hashlib
import pickle
import re
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import python_speech_features
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from pipelines.extraction.active_speaker import lr_asd
from pipelines.extraction.active_speaker.lr_asd import LrAsd, face_patch, windowed
from pipelines.extraction.active_speaker.lr_asd_network import GRU, NORM, mfcc, read_weights
from pipelines.extraction.config import MediaConfig
from pipelines.extraction.faces.detectors import open_detector
from pipelines.extraction.video.decode import Decoder
from pipelines.extraction.video.probe import probe_media
from tests.support.cuda_double import cuda_double
from vclip.errors import InputError

TALKSET_SHA256 = "6b4ef53694e874e96cf630198dc479c78aebb3993bbf166aee3d926dfe7d9342"


def _random_checkpoint():
    """A state dict with the original's names and shapes and RANDOM values: what it scores means nothing."""
    shapes = {}

    def layer(conv, norm, shape):
        shapes[f"{conv}.weight"] = shape
        shapes.update({f"{norm}.{part}": shape[:1] for part in NORM})

    for encoder, letter in ("visualEncoder", "s"), ("audioEncoder", "m"):
        for block, inputs, outputs in (1, 1, 32), (2, 32, 64), (3, 64, 128):
            name, seen = f"model.{encoder}.block{block}", letter == "s"
            for i, size in (1, 5), (2, 3):
                channels = (outputs // 2, inputs) if i == 1 else (outputs, outputs // 2)
                within = (*channels, 1, size, size) if seen else (*channels, size, 1)
                along = (outputs, outputs, size, 1, 1) if seen else (outputs, outputs, 1, size)
                layer(f"{name}.{letter}_{i}", f"{name}.{letter}_norm_{i}", within)
                layer(f"{name}.t_{i}", f"{name}.t_norm_{i}", along)
    layer("model.fusion.attention", "model.fusion.bn", (256, 256, 1))
    layer("model.detector.attention.attention", "model.detector.attention.bn", (128, 128, 1))
    for direction in "forward", "backward":
        for part, shape in zip(GRU, ((192, 256), (192, 64), (192,), (192,)), strict=True):
            shapes[f"model.detector.gru_{direction}.{part}_l0"] = shape
    for head in "lossAV", "lossV":
        shapes |= {f"{head}.FC.weight": (2, 128), f"{head}.FC.bias": (2,)}
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        values = torch.randn(shape, generator=generator)
        state[name] = values.abs() + 0.5 if "var" in name else values / max(1, np.prod(shape[1:])) ** 0.5
    return state | {"model.fusion.bn.num_batches_tracked": torch.tensor(7)}


def _reference(state, faces, audio):
    """The margins of a whole track as the paper's formulas give them: three-dimensional convolutions, no folding."""

    def layer(x, conv, norm, stride=1):
        weight = state[f"{conv}.weight"]
        padding = [size // 2 for size in weight.shape[2:]]
        convolve = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}[weight.dim()]
        scale, shift, mean, variance = (state[f"{norm}.{part}"] for part in NORM)
        return functional.batch_norm(
            convolve(x, weight, None, stride, padding), mean, variance, scale, shift, eps=1e-3
        )

    def encoder(x, name, letter, stride, pool):
        for block in 1, 2, 3:
            for kind in f"{letter}_1", f"{letter}_2", "t_1", "t_2":
                prefix, first = f"model.{name}.block{block}", block == 1 and kind == f"{letter}_1"
                norm = kind.replace("_", "_norm_")
                x = layer(x, f"{prefix}.{kind}", f"{prefix}.{norm}", stride if first else 1).relu()
            x = pool(x) if block < 3 else x
        return x

    def gate(x, name):
        return x * layer(x, f"{name}.attention", f"{name}.bn").sigmoid()

    def gru(x, direction):
        net = nn.GRU(256, 64, batch_first=True)
        net.load_state_dict({f"{p}_l0": state[f"model.detector.gru_{direction}.{p}_l0"] for p in GRU})
        return net(x)[0]

    frames = (torch.from_numpy(faces)[None, None].float() / 255 - 0.4161) / 0.1688
    pool = partial(functional.max_pool3d, kernel_size=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
    seen = encoder(frames, "visualEncoder", "s", (1, 2, 2), pool).amax((3, 4))
    coefficients = torch.from_numpy(mfcc(audio, 4 * len(faces))).T[None, None]
    pool = partial(functional.max_pool2d, kernel_size=(1, 3), stride=(1, 2), padding=(0, 1))
    heard = encoder(coefficients, "audioEncoder", "m", 1, pool).mean(2)
    fused = gate(torch.cat([heard, seen], 1), "model.fusion").transpose(1, 2)  # (1, frames, 256)
    states = torch.cat([gru(fused, "forward"), gru(fused.flip(1), "backward").flip(1)], 2).transpose(1, 2)
    states = gate(states, "model.detector.attention")[0].T
    logits = functional.linear(states, state["lossAV.FC.weight"], state["lossAV.FC.bias"])
    return (logits[:, 1] - logits[:, 0]).detach().numpy()


def _frame_row(frames, seed=0):
    rng = np.random.default_rng(seed)
    faces = rng.integers(0, 256, (frames, 112, 112), dtype=np.uint8)
    return faces, (rng.normal(size=640 * frames) * 3000).astype(np.int16)


@pytest.fixture(scope="module")
def checkpoint():
    return _random_checkpoint()


@pytest.fixture(scope="module")
def weights(checkpoint, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(checkpoint, path)
    return str(path)


def test_equals_the_formulas(checkpoint, weights):
    faces, audio = _frame_row(16)
    network = LrAsd(weights, block=5, window=16)
    margins = network(faces, audio)
    assert margins.shape == (16,)
    assert margins.dtype == np.float32
    assert margins.std() > 1e-3
    np.testing.assert_allclose(margins, _reference(checkpoint, faces, audio), atol=1e-4)
    np.testing.assert_array_equal(margins, network(faces, audio))


@pytest.mark.parametrize("frames", [1, 6])
def test_scores_short_tracks_and_takes_missing_audio_for_silence(weights, frames):
    network = LrAsd(weights)
    faces, audio = _frame_row(frames)
    assert network(faces, audio).shape == (frames,)
    silence = np.zeros(640 * frames + 400, np.int16)
    np.testing.assert_allclose(network(faces, audio[:0]), network(faces, silence), atol=1e-5)
    assert np.abs(network(faces, audio) - network(faces, silence)).max() > 1e-4


def test_windows_are_averaged_where_they_overlap():
    count = 5 * lr_asd.WINDOW + 7
    both = torch.randn(count, 3)
    np.testing.assert_allclose(windowed(lambda x: x.sum(-1), both, at_once=2), both.sum(-1).numpy(), atol=1e-5)
    # What a detector makes of a frame's place in its window is averaged over the two it is in.
    places = windowed(lambda x: torch.arange(x.shape[1]).expand(len(x), -1).float(), torch.zeros(count, 3))
    # Means of small whole numbers are exact in float32.
    np.testing.assert_array_equal(places[lr_asd.HOP : 2 * lr_asd.HOP], np.arange(lr_asd.HOP) + lr_asd.HOP / 2)


def test_patch_is_the_middle_of_the_lower_face():
    y, x = np.mgrid[:200, :300].astype(np.float64)
    box = np.array([100.0, 40.0, 180.0, 140.0])  # the longer side is 100
    patch_x, patch_y = (face_patch(v.astype(np.uint8), box).astype(float) for v in (x, y))
    side, middle_y = 100 * lr_asd.CROP_SIDE, 90 + 100 * lr_asd.CROP_BELOW
    assert patch_x.shape == (112, 112)
    assert patch_x.mean() == pytest.approx(140 - 0.5, abs=0.6)
    assert patch_y.mean() == pytest.approx(middle_y - 0.5, abs=0.6)
    assert np.ptp(patch_x) == pytest.approx(side, abs=2)
    assert np.ptp(patch_y) == pytest.approx(side, abs=2)
    outside = face_patch(np.zeros((100, 100), np.uint8), np.array([500.0, 500.0, 540.0, 540.0]))
    assert (outside == lr_asd.BORDER).all()


@pytest.mark.parametrize("samples", [1, 399, 400, 401, 16_000, 48_077])
def test_mfcc_equals_python_speech_features(samples):
    rng = np.random.default_rng(samples)
    audio = (rng.normal(size=samples) * rng.choice([3, 3000])).astype(np.int16)
    audio[samples // 2 : samples // 2 + 2000] = 0
    expected = python_speech_features.mfcc(audio, 16_000, numcep=13, winlen=0.025, winstep=0.010)
    np.testing.assert_allclose(mfcc(audio, len(expected)), expected, atol=1e-4)


def test_mfcc_in_blocks_is_that_at_once():
    _, audio = _frame_row(25)
    whole = mfcc(audio, 130)  # 100 frames of audio and what follows it
    np.testing.assert_array_equal(mfcc(audio, 130, block=7), whole)


def test_reads_safetensors_alike(checkpoint, weights, tmp_path):
    save_file(checkpoint, tmp_path / "w.safetensors")
    faces, audio = _frame_row(12)
    np.testing.assert_array_equal(LrAsd(str(tmp_path / "w.safetensors"))(faces, audio), LrAsd(weights)(faces, audio))


def _without(state):
    return {k: v for k, v in state.items() if k != "model.fusion.bn.bias"}


def _with_more(state):
    return state | {"model.extra.weight": torch.zeros(1)}


def _reshaped(state):
    return state | {"lossAV.FC.weight": torch.zeros(3, 128)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, "missing model.fusion.bn.bias; unknown nothing"),
        (_with_more, "missing nothing; unknown model.extra.weight"),
        (_reshaped, r"head.weight is \(3, 128\), expected \(2, 128\)"),
    ],
)
def test_other_tensors_are_an_error(checkpoint, tmp_path, change, message):
    torch.save(change(checkpoint), tmp_path / "w.pth")
    with pytest.raises(InputError, match=message) as error:
        LrAsd(str(tmp_path / "w.pth"))
    assert "\n" not in str(error.value)


class _Bomb:
    def __reduce__(self):
        return pytest.fail, ("pickle code was executed",)


@pytest.mark.parametrize(
    "content",
    [b"", b"no weights", pickle.dumps({"a": _Bomb()}, 2), pickle.dumps([1], 2)],
    ids=["empty", "text", "bomb", "list"],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_holds_no_tensors_is_an_error(tmp_path, content, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))) as error:
        read_weights(str(path))
    assert "\n" not in str(error.value)


def test_pickle_code_in_a_torch_file_is_not_executed(tmp_path):
    torch.save({"a": torch.zeros(1), "b": _Bomb()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="plain state dict"):
        read_weights(str(tmp_path / "w.pth"))


def test_a_path_is_checked_too(weights, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_weights(str(tmp_path / "none.pth"))
    with pytest.raises(InputError, match=r"found SHA-256 \w+, expected 0000"):
        read_weights(weights, "0" * 64)


@pytest.fixture
def served(tmp_path, monkeypatch, weights):
    """The address of a loopback server of a folder with the weights; lists what was asked of it."""
    asked = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    folder = tmp_path / "www"
    folder.mkdir()
    shutil.copy(weights, folder / "w.pth")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_an_address_is_fetched_once(served, weights, tmp_path):
    address, asked = served
    digest = hashlib.sha256(Path(weights).read_bytes()).hexdigest()
    for _ in range(2):
        state = read_weights(f"{address}/w.pth?raw=1", digest.upper())
    assert state.keys() == _random_checkpoint().keys()
    assert asked == ["/w.pth?raw=1"]
    kept = [p for p in (tmp_path / "home/.cache/vclip").rglob("*") if p.is_file()]
    assert [p.name for p in kept] == ["w.pth"]
    kept[0].write_bytes(b"damaged")
    assert read_weights(f"{address}/w.pth?raw=1", digest).keys() == state.keys()
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("name", "digest", "message"),
    [("w.pth", "", "no checksum"), ("w.pth", "0" * 64, "found SHA-256"), ("none.pth", "0" * 64, "download failed")],
)
def test_an_address_that_gives_something_else_is_an_error(served, tmp_path, name, digest, message):
    with pytest.raises(InputError, match=message):
        read_weights(f"{served[0]}/{name}", digest)
    assert not [p for p in (tmp_path / "home").rglob("*") if p.is_file()]


@pytest.mark.shared
@pytest.mark.parametrize("name", ["talk_0e0b8299.mp4", "talk_22e28005.mp4"])
def test_a_talking_face_scores_above_its_own_still(shared, name):
    network = LrAsd(str(shared / "models/lr_asd_talkset.pth"), TALKSET_SHA256)
    path, config, detector = shared / "data/clips" / name, MediaConfig(), open_detector("centerface")
    with Decoder(path, probe_media(path, config), config) as decoder:
        frames = [frame.rgb for frame in decoder.frames()]
        audio = np.array(decoder.audio)
    boxes = [detector([frame])[0][0].box for frame in frames[:75:15]]
    patches = [face_patch(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), boxes[i // 15]) for i, p in enumerate(frames[:75])]
    talking, still = np.stack(patches), np.stack(patches[:1] * 75)
    assert network(talking, audio).mean() > 1
    assert network(still, audio).mean() < -1


def test_it_scores_the_same_on_the_gpu_where_there_is_one(tmp_path):
    torch.save(_random_checkpoint(), tmp_path / "random.model")
    faces, audio = _frame_row(30)
    expected = LrAsd(str(tmp_path / "random.model"), device="cpu")(faces, audio)
    with cuda_double():
        backend = LrAsd(str(tmp_path / "random.model"))
        assert {weights.device.type for weights in backend.network.parameters()} == {"cuda"}
        np.testing.assert_allclose(backend(faces, audio), expected, atol=1e-5)
