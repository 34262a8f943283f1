"""A small made-up world: a generator fitted to made-up speakers, a model and a signature with random weights."""

import numpy as np
import pytest
import torch

from tests.support.speakers_world import D_FACE, D_VOICE, random_model, two_genders
from vclip.speakers.generator_fit import GeneratorConfig, fit_generator
from vclip.speakers.signature import TTSSignature


@pytest.fixture(scope="package")
def world():
    """(generator, model, signature)"""
    torch.manual_seed(1)
    signature = TTSSignature("made-up", "voices", "voices", D_VOICE, D_VOICE, 16, 0.1).eval()
    for parameter in signature.parameters():  # as they start, all voices would sound alike
        torch.nn.init.normal_(parameter, std=0.7)
    generator, _ = fit_generator(two_genders(), GeneratorConfig(speakers_per_component=30))
    signature.mean.copy_(torch.as_tensor(generator.bank.vectors.mean(axis=0)))
    signature.scale.fill_(0.2)
    return generator, random_model(), signature


@pytest.fixture(scope="package")
def faces(world):
    """(5, D_VOICE) directions of five random faces."""
    return world[1].embed_faces(np.random.default_rng(3).normal(size=(5, D_FACE)).astype(np.float32))
