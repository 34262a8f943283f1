"""The built-in encoders pass the suites that third parties are given."""

import open_clip
import pytest
import torch

from tests.support.onnx_networks import face_network, voice_network
from vclip.testing import FaceEncoderSuite, VoiceEncoderSuite

MODEL = "ViT-S-32-alt"  # the smallest that open_clip has


class TestDlib(FaceEncoderSuite):
    spec = "dlib"


class TestOpenClip(FaceEncoderSuite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _checkpoint(cls, tmp_path_factory):
        torch.manual_seed(0)
        path = tmp_path_factory.mktemp("clip") / "RANDOM-weights-for-tests-only.pt"
        torch.save(open_clip.create_model(MODEL).state_dict(), path)
        cls.spec = f"open_clip:{MODEL}/{path}"


class TestResemblyzer(VoiceEncoderSuite):
    spec = "resemblyzer"


class TestOnnxFace(FaceEncoderSuite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _network(cls, tmp_path_factory):
        cls.spec = f"onnx-face:{face_network(tmp_path_factory.mktemp('face') / 'face.onnx')}"


class TestOnnxVoice(VoiceEncoderSuite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _network(cls, tmp_path_factory):
        path = voice_network(tmp_path_factory.mktemp("voice") / "voice.onnx", mean_normalisation=True)
        cls.spec = f"onnx-voice:{path}"
