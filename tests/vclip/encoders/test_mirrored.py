"""A face and its mirror image have one vector, half of that of each."""

import pickle

import numpy as np
import pytest

from vclip.encoders import Prepares, ReadsTexts, embed_texts, open_face_encoder
from vclip.encoders.mirrored import Mirrored
from vclip.errors import InputError
from vclip.testing import FaceEncoderSuite, crops


class TestMirroredDlib(FaceEncoderSuite):
    spec = "mirrored:dlib"


class Grey:
    """Embeds the grey columns of a crop, which a mirror turns round, and reads texts."""

    space, dim, gains_from_gpu = "grey/8", 8, True

    @staticmethod
    def prepare(crop):
        return crop[:: len(crop) // 8][:8, :: len(crop) // 8][:, :8].mean(2)

    def embed_prepared(self, prepared):
        columns = np.stack([image.mean(0) + 1 for image in prepared]).astype(np.float32)
        return columns / np.linalg.norm(columns, axis=1, keepdims=True)

    def embed(self, crops):
        return self.embed_prepared([self.prepare(crop) for crop in crops])

    def embed_texts(self, texts):
        return np.eye(8, dtype=np.float32)[[len(text) for text in texts]]


def test_it_is_the_direction_of_the_mean_of_both():
    faces, inner = crops(4), open_face_encoder("dlib")
    mine, turned = open_face_encoder("mirrored:dlib"), [face[:, ::-1] for face in faces]
    assert (mine.space, mine.dim) == (f"mirrored/{inner.space}", 128)
    total = inner.embed(faces) + inner.embed([np.ascontiguousarray(face) for face in turned])
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    np.testing.assert_allclose(mine.embed(faces), expected, atol=1e-6)
    np.testing.assert_allclose(mine.embed(turned), expected, atol=1e-6)
    assert mine.embed([]).shape == (0, 128)


def test_what_the_other_encoder_can_it_can():
    mine, faces = Mirrored(Grey()), crops(3)
    assert isinstance(mine, Prepares)
    assert isinstance(mine, ReadsTexts)
    assert mine.gains_from_gpu
    prepare = pickle.loads(pickle.dumps(mine.prepare))
    np.testing.assert_array_equal(mine.embed_prepared([prepare(face) for face in faces]), mine.embed(faces))
    np.testing.assert_allclose(mine.embed([face[:, ::-1] for face in faces]), mine.embed(faces), atol=1e-6)
    assert embed_texts(mine, ["abc"])[0, 3] == 1


def test_what_the_other_encoder_cannot_it_cannot():
    mine = open_face_encoder("mirrored:dlib")
    assert not isinstance(mine, Prepares)
    with pytest.raises(InputError, match="reads no text"):
        embed_texts(mine, ["a man"])
