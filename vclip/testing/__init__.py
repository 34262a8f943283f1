"""Conformance suites for the pytest of a package with a face encoder, a voice encoder, a TTS or a cloning TTS.

    from vclip.testing import FaceEncoderSuite

    class TestMine(FaceEncoderSuite):
        spec = "mine"                              # or python:my_package.module:Factory

The suites open the plugin by its spec, as the pipelines do, and need neither pytest nor weights to be imported.
Tolerances: float32 sums in another order differ by about 1e-6; vectors within 1e-4 count as equal throughout the
toolkit.
"""

from vclip.testing.encoders import FaceEncoderSuite, VoiceEncoderSuite
from vclip.testing.inputs import crops, utterances
from vclip.testing.tts import CloningTTSSuite, TTSSuite

__all__ = ["CloningTTSSuite", "FaceEncoderSuite", "TTSSuite", "VoiceEncoderSuite", "crops", "utterances"]
