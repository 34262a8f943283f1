"""CLIP through open_clip. The checkpoint here is random and says so; it stands for any local one."""

import hashlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import open_clip
import pytest
import skimage.data
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import Image

from vclip.encoders import open_face_encoder
from vclip.encoders.open_clip import OpenClip, Resized
from vclip.errors import InputError

MODEL = "ViT-S-32-alt"  # the smallest that open_clip has
WITHOUT_HUB = {  # spec -> what its error says
    "open_clip:ViT-B-33/openai": "open_clip has no model 'ViT-B-33'",
    "open_clip:ViT-B-32-quickgelu/opnai": r"'opnai' is neither a file nor a pretrained tag .*known: openai",
    f"open_clip:{MODEL}//missing/nowhere.pt": "neither a file nor",
    "open_clip:ViT-B-32/openai": "use open_clip:ViT-B-32-quickgelu/openai",
    "open_clip:ViT-B-32-quickgelu/openai": r"the hub .* cannot be reached \(Connect.*--config offline",
}


@pytest.fixture(scope="module")
def original():
    """An open_clip model with RANDOM weights, and its preprocessing."""
    torch.manual_seed(0)
    model, _, transform = open_clip.create_model_and_transforms(MODEL)
    return model.eval(), transform


@pytest.fixture(scope="module")
def checkpoint(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "RANDOM-weights-for-tests-only.pt"
    torch.save(original[0].state_dict(), path)
    return path


@pytest.fixture(scope="module")
def encoder(checkpoint):
    return open_face_encoder(f"open_clip:{MODEL}/{checkpoint}", "cpu")


@pytest.fixture(scope="module")
def crops():
    photo = skimage.data.astronaut()
    return [photo[20:180, 140:300], photo[300:400, 50:150], photo[200:456, 200:456]]


@pytest.fixture(scope="module")
def without_hub(tmp_path_factory):
    """The errors of WITHOUT_HUB in a process with an empty cache, whose hub is a port that nobody listens on."""
    environment = {"HF_HOME": str(tmp_path_factory.mktemp("cache")), "HF_ENDPOINT": "http://127.0.0.1:9"}
    code = (
        "import json, sys\n"
        "from vclip.encoders import open_face_encoder\n"
        "from vclip.errors import InputError\n"
        "for spec in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        open_face_encoder(spec, 'cpu')\n"
        "        print(json.dumps(''))\n"
        "    except InputError as error:\n"
        "        print(json.dumps(str(error)))\n"
    )
    command = [sys.executable, "-c", code, json.dumps(list(WITHOUT_HUB))]
    run = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100)
    assert run.returncode == 0, run.stderr
    return dict(zip(WITHOUT_HUB, map(json.loads, run.stdout.splitlines()), strict=True))


def test_equals_open_clip(encoder, original, crops):
    model, transform = original
    with torch.inference_mode():
        expected = model.encode_image(torch.stack([transform(Image.fromarray(c)) for c in crops]), normalize=True)
    vectors = encoder.embed(crops)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors.dtype == np.float32
    assert np.abs(np.diff(vectors, axis=0)).max() > 1e-3  # the crops do differ, so equality says something


def test_texts_equal_open_clip(encoder, original):
    texts = ["a woman with short hair", "an old man"]
    with torch.inference_mode():
        expected = original[0].encode_text(open_clip.get_tokenizer(MODEL)(texts), normalize=True)
    vectors = encoder.embed_texts(texts)
    np.testing.assert_allclose(vectors, expected.numpy(), atol=1e-5)
    assert vectors.shape == (2, encoder.dim)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_a_callers_autocast_changes_nothing(encoder, crops):
    """A space means one vector, in whatever precision the program around the encoder computes."""
    texts = ["a woman with short hair"]
    with torch.autocast("cpu", torch.bfloat16):
        lower, lower_texts = encoder.embed(crops), encoder.embed_texts(texts)
    # The same kernels on the same numbers; bfloat16 would differ by 1e-3 and more.
    np.testing.assert_allclose(lower, encoder.embed(crops), atol=1e-6)
    np.testing.assert_allclose(lower_texts, encoder.embed_texts(texts), atol=1e-6)


def test_batches_wider_than_one_pass(encoder, crops):
    # Matrix products of other sizes differ in the last bits of float32.
    np.testing.assert_allclose(encoder.embed(crops, batch_size=2), encoder.embed(crops), atol=1e-5)
    assert encoder.embed([]).shape == (0, encoder.dim)


def test_the_space_of_a_local_checkpoint_holds_its_digest(encoder, checkpoint):
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:12]
    assert encoder.space == f"open_clip/{MODEL}/file-{digest}/crop1"
    assert encoder.dim == 256


@pytest.mark.parametrize("damage", ["truncated", "not a checkpoint", "of another model", "incomplete"])
def test_a_checkpoint_that_does_not_fit_is_an_error_never_random_weights(original, tmp_path, checkpoint, damage):
    path = tmp_path / "damaged.pt"
    state = original[0].state_dict()
    if damage == "truncated":
        path.write_bytes(checkpoint.read_bytes()[:100_000])
    elif damage == "not a checkpoint":
        path.write_text("a text")
    elif damage == "of another model":
        torch.save({name: value.flatten()[:8] for name, value in state.items()}, path)
    else:
        torch.save({name: value for name, value in state.items() if "resblocks.3" not in name}, path)
    with pytest.raises(InputError, match=r"damaged\.pt: cannot load the weights") as error:
        OpenClip(MODEL, str(path), "cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("spec", WITHOUT_HUB)
def test_what_cannot_be_had_is_an_error_of_one_line_that_says_what_to_do(without_hub, spec):
    message = without_hub[spec]
    assert re.search(WITHOUT_HUB[spec], message), message
    assert "\n" not in message


@pytest.mark.parametrize("resize_mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_crops_are_resized_as_open_clip_does(crops, resize_mode, interpolation):
    from open_clip.transform import image_transform

    transform = image_transform(224, is_train=False, resize_mode=resize_mode, interpolation=interpolation)
    mean, std = (np.array(values, np.float32) for values in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    for crop in crops:
        pixels = Resized(224, interpolation)(crop).astype(np.float32) / 255
        np.testing.assert_allclose(
            (pixels - mean) / std, transform(Image.fromarray(crop)).numpy().transpose(1, 2, 0), atol=1e-6
        )
