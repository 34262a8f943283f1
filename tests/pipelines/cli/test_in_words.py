"""People read the figures of training, fitting and distilling by what they mean, not by their keys."""

import re
from dataclasses import replace

import pytest

from pipelines.association.train import TrainResult
from pipelines.cli.in_words import generator_in_words, signature_in_words, training_in_words
from vclip.speakers.generator_fit import DrawStatistics, GeneratorMetrics
from vclip.speakers.signature import SignatureMetrics

TRAINED = TrainResult(0.81885, 850, 815, 0, 150, None)
DRAWN = DrawStatistics(-182.2, 0.7965, 0.8016, 0.7896, 0.0077, 0.5964, 0.5975)
FITTED = GeneratorMetrics(261, 152, 13, "one for 20", 1.1e5, 9.4e4, -175.5, -182.5, -178.1, DRAWN)
LEARNED = SignatureMetrics(600, 90, 0.9312, 0.6, 12, 40_000, 0.8012, 0.6543)


def test_a_training_says_what_it_kept():
    assert training_in_words(TRAINED)["kept"] == "the closed form; 150 steps of training gained too little"
    assert training_in_words(replace(TRAINED, steps=0))["kept"] == "the closed form"
    assert training_in_words(replace(TRAINED, best_step=80))["kept"] == "step 80 of 150"


def test_what_was_not_measured_is_not_named():
    fewer = replace(LEARNED, cosine_identity=None, gap_closed=None, predicted_speakers=0)
    assert len(signature_in_words(LEARNED)) - len(signature_in_words(fewer)) == 3
    both = replace(DRAWN, gender_kept=0.91, gender_kept_known=0.98)
    named = set(generator_in_words(replace(FITTED, drawn=both))) - set(generator_in_words(FITTED))
    assert named == {"drawn for a gender and nearest to it"}


@pytest.mark.parametrize(
    "words", [training_in_words(TRAINED), generator_in_words(FITTED), signature_in_words(LEARNED)]
)
def test_numbers_have_three_digits_and_names_are_words(words):
    text = "\n".join(f"{name}\n{value}" for name, value in words.items())
    assert "_" not in text
    decimals = re.findall(r"\d+\.(\d+)", text)
    assert decimals
    assert all(len(digits) <= 3 for digits in decimals)
