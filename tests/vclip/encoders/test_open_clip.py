"""CLIP through open_clip. The checkpoint here is random and says so; it stands for any local one."""

import hashlib

import huggingface_hub
import numpy as np
import open_clip
import pytest
import skimage.data
import torch
from PIL import Image

from vclip.encoders import open_face_encoder
from vclip.encoders.open_clip import OpenClip
from vclip.errors import InputError

MODEL = "ViT-S-32-alt"  # the smallest that open_clip has


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
    picture = skimage.data.astronaut()
    return [picture[20:180, 140:300], picture[300:400, 50:150], picture[200:456, 200:456]]


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    """An empty cache and a hub that cannot be reached; any other way out fails the test."""

    def unreachable(*args, **kwargs):
        raise ConnectionError("no route to the hub")

    def forbidden(*args, **kwargs):
        pytest.fail("tried to download")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr("open_clip.create_model_from_pretrained", forbidden)


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


def test_batches_wider_than_one_pass(encoder, crops, monkeypatch):
    whole = encoder.embed(crops)
    monkeypatch.setattr("vclip.encoders.open_clip.MAX_BATCH", 2)
    np.testing.assert_allclose(encoder.embed(crops), whole, atol=1e-5)
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


def test_an_unknown_model_is_an_error(no_hub):
    with pytest.raises(InputError, match="open_clip has no model 'ViT-B-33'"):
        open_face_encoder("open_clip:ViT-B-33/openai")


def test_an_unknown_tag_names_the_known_ones(no_hub):
    with pytest.raises(InputError, match=r"'opnai' is neither a file nor a pretrained tag .*known: openai"):
        open_face_encoder("open_clip:ViT-B-32-quickgelu/opnai")


def test_a_missing_file_is_an_error(no_hub, tmp_path):
    with pytest.raises(InputError, match="neither a file nor"):
        open_face_encoder(f"open_clip:{MODEL}/{tmp_path / 'nowhere.pt'}")


def test_openai_weights_without_quickgelu_are_refused(no_hub):
    with pytest.raises(InputError, match="use open_clip:ViT-B-32-quickgelu/openai"):
        open_face_encoder("open_clip:ViT-B-32/openai")


def test_without_a_hub_one_line_says_what_to_do(no_hub):
    with pytest.raises(InputError, match="--config offline") as error:
        open_face_encoder("open_clip:ViT-B-32-quickgelu/openai")
    assert "\n" not in str(error.value)
    assert "ConnectionError" in str(error.value)
