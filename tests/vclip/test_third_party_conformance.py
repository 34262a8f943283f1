"""A third party's plugins pass the public suites by name, through their entry points, and by path."""

import sys

import pytest

from tests.support.distributions import install_plugins
from vclip.association.losses import LOSSES
from vclip.association.methods import method_of
from vclip.testing import FaceEncoderSuite, TTSSuite, VoiceEncoderSuite


@pytest.fixture(scope="module", autouse=True)
def _installed(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(install_plugins(tmp_path_factory.mktemp("plugins")))
        yield
    sys.modules.pop("tiny_plugins", None)


class TestTinyFaces(FaceEncoderSuite):
    spec = "tiny"


class TestTinyVoices(VoiceEncoderSuite):
    spec = "tiny:16"


class TestTinyVoicesByPath(VoiceEncoderSuite):
    spec = "python:tiny_plugins:TinyVoices"


class TestTinyTTS(TTSSuite):
    spec = "tiny"


def test_its_method_and_loss_open():
    assert method_of("tiny").about == "a ridge regression of a third party"
    assert not LOSSES.open("tiny:0.5").several_views
