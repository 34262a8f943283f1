"""The built-in backends pass the suite that third parties are given."""

import pytest

from tests.support.small_voices import small_piper, small_vits
from vclip.testing import TTSSuite


class TestMorph(TTSSuite):
    spec = "morph"


class TestVits(TTSSuite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _voice(cls, tmp_path_factory):
        pytest.importorskip("transformers")
        cls.spec = f"vits:{small_vits(tmp_path_factory.mktemp('vits'))}"


class TestPiper(TTSSuite):
    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _voice(cls, tmp_path_factory):
        for package in ("onnx", "piper"):
            pytest.importorskip(package)
        cls.spec = f"piper:{small_piper(tmp_path_factory.mktemp('piper'))}"
