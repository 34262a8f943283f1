"""What voices are made for: several photos of one person, and prompts as face vectors."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from pipelines.extraction.faces.detectors import CenterFaceDetector, faces_of
from pipelines.generation.faces import (
    NEUTRAL,
    TargetFace,
    TargetPerson,
    encode_faces,
    encode_prompts,
    read_photo_faces,
)
from tests.support.talking_portrait import portrait
from vclip.errors import InputError

MEAN = np.arange(4, dtype=np.float32)
MODEL = SimpleNamespace(face_input=SimpleNamespace(mean=torch.as_tensor(MEAN)))
LOOKS = {"an old man": [0.0, 0.5, 0.0, -0.25], "a young woman": [0.25, 0.0, 0.0, 0.0]}


class Reader:
    """A text tower that puts every text at `gap`, and those of LOOKS beside it; neutral ones scatter around it."""

    space = "made up"

    def __init__(self, gap):
        self.gap = np.array(gap, np.float32)

    def embed_texts(self, texts):
        scatter = np.random.default_rng(0).normal(size=(len(NEUTRAL), 4))
        looks = LOOKS | dict(zip(NEUTRAL, scatter - scatter.mean(axis=0), strict=True))
        return np.array([looks[text] for text in texts], np.float32) + self.gap


@pytest.mark.parametrize("gap", [(0, 0, 0, 0), (3, -1, 0, 2)])
def test_a_prompt_lies_off_the_mean_face_as_it_lies_off_neutral_texts(gap, capsys):
    found = encode_prompts(list(LOOKS), Reader(gap), MODEL)
    for description, (prompt, looks) in zip(found, LOOKS.items(), strict=True):
        np.testing.assert_allclose(description.vectors, [MEAN + looks], atol=1e-5)
        assert description.vectors.dtype == np.float32
        assert description.provenance == {"prompt": prompt}
    assert "experimental" in capsys.readouterr().err


def test_what_reads_no_text_and_what_is_none_are_told():
    with pytest.raises(InputError, match=r"'an old man'.*'dlib/128'.*open_clip") as error:
        encode_prompts(["an old man"], SimpleNamespace(space="dlib/128"), MODEL)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="empty"):
        encode_prompts(["an old man", " "], Reader([0, 0, 0, 0]), MODEL)


def test_a_person_is_all_their_photos():
    ann, bob = (TargetFace(f"{name}.jpg", name, 0, 1, np.full(4, ord(name), np.float32)) for name in "ab")
    person = TargetPerson((ann, bob))
    np.testing.assert_array_equal(person.vectors, [ann.vector, bob.vector])
    assert person.provenance == {"face": "a.jpg, b.jpg", "photos": [ann.provenance, bob.provenance]}


def test_a_face_that_only_a_smaller_copy_shows_is_noted(tmp_path, capsys):
    """As in paintings and drawings, whose strokes hide the face in the full size."""
    net, encoder = CenterFaceDetector(), SimpleNamespace(embed=lambda crops: np.zeros((len(crops), 4), np.float32))
    photo = tmp_path / "painting.png"
    cv2.imwrite(str(photo), portrait(0.0, 240)[..., ::-1])

    def only_small(images):
        return [faces_of(net, one) if len(one) <= 120 else [] for one in images]

    for detector, note in ((net, {}), (only_small, {"scale": 0.5})):
        (face,) = encode_faces(read_photo_faces([photo], detector, None), encoder)
        assert face.provenance.get("face_found_at_scale") == note.get("scale")
        assert ("only in a copy of 0.5 of its size" in " ".join(capsys.readouterr().err.split())) == bool(note)
