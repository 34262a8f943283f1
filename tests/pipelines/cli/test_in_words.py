"""People read the figures of training, fitting and distilling by what they mean, not by their keys."""

import re
from dataclasses import replace

import pytest

from pipelines.analysis.clusters import ClustersResult
from pipelines.analysis.export import ExportResult
from pipelines.analysis.maps import MapResult
from pipelines.analysis.outliers import OutliersResult
from pipelines.association.train import TrainResult
from pipelines.cli.in_words import (
    clusters_in_words,
    export_in_words,
    filled_in_words,
    generator_in_words,
    index_in_words,
    map_in_words,
    merge_in_words,
    optimize_in_words,
    outliers_in_words,
    signature_in_words,
    training_in_words,
)
from pipelines.maintenance.columns import FillResult
from pipelines.maintenance.optimize import OptimizeResult
from stores.maintenance.index import IndexReport
from stores.maintenance.merge import Merged
from vclip.speakers.generator_fit import DrawStatistics, GeneratorMetrics
from vclip.speakers.signature import SignatureMetrics

TRAINED = TrainResult(0.81885, 850, 815, 0, 150, None)
DRAWN = DrawStatistics(-182.2, 0.7965, 0.8016, 0.7896, 0.0077, 0.5964, 0.5975)
FITTED = GeneratorMetrics(261, 152, 13, "one for 20", 1.1e5, 9.4e4, -175.5, -182.5, -178.1, DRAWN)
LEARNED = SignatureMetrics(600, 90, 0.9312, 0.6, 12, 40_000, 0.8012, 0.6543)


DONE = [
    clusters_in_words(ClustersResult("out", "s", {}, "both", "average", None, 117, 62, 26, 5, 1, None)),
    outliers_in_words(OutliersResult("out", "s", {}, "m", None, 117, 0, 0.8765, 4)),
    map_in_words(MapResult("a.png", "a.csv", 850, "voices", "pca", ("one", "two"))),
    export_in_words(
        ExportResult("out", "s", {}, "webdataset", None, None, None, None, {"": 90, "dev": 10}, ["a.tar"])
    ),
    optimize_in_words(OptimizeResult("s", 3, {"clips": "3 -> 1"}, 0, [], [], {"before": 1234567, "after": 999})),
    index_in_words(IndexReport("faces", "a space", "IVF_RQ", 1201, 1, 1.0, 100, 0.04, 4.5012)),
    merge_in_words(Merged(added=850, kept=["a", "b"], rows={"runs": 1, "edits": 0})),
    filled_in_words(FillResult("s", ["voices.dnsmos"], "dnsmos", "1", 1200, 0, 3, [], 61.2)),
]


@pytest.mark.parametrize("words", DONE)
def test_what_was_done_is_told_without_keys(words):
    assert not re.search(r"[a-z]_[a-z]|->|\{|None", "\n".join(f"{name}\n{value}" for name, value in words.items()))


def test_a_training_says_what_it_kept():
    assert training_in_words(TRAINED)["kept"] == "the closed form; 150 steps of training gained too little"
    assert training_in_words(replace(TRAINED, steps=0))["kept"] == "the closed form"
    assert training_in_words(replace(TRAINED, start="the start"))["kept"].startswith("the start; 150 steps")
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
