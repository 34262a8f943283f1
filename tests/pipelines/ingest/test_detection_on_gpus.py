"""Tasks of one node find faces together, on a GPU that Ray is told of and that is not there."""

import json
import subprocess
import sys

import numpy as np
import pytest
from skimage import data

from pipelines.config import Config
from pipelines.extraction.faces.detectors import CenterFaceDetector, open_detector
from tests.support.vclip_command import ROOT
from vclip.config import load
from vclip.errors import InputError


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    """An image with a face, and the file that holds it."""
    image = data.astronaut()
    path = tmp_path_factory.mktemp("photo") / "photo.npy"
    np.save(path, image)
    return image, path


@pytest.fixture(scope="module")
def jobs(tmp_path_factory, portrait):
    """What each job of `detector_driver` found."""
    command = [sys.executable, "-m", "tests.support.detector_driver", tmp_path_factory.mktemp("marks"), portrait[1]]
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {row["case"]: row for row in rows}


@pytest.mark.slow
@pytest.mark.parametrize("case", ["plain", "few", "breaks"])
def test_tasks_find_on_the_gpu_what_they_find_alone_whatever_fails(jobs, portrait, case):
    image, _ = portrait
    alone = [[face.box for face in faces] for faces in open_detector("centerface")([image, image[:, ::-1]])]
    assert alone[0]
    for of_task in jobs[case]["boxes"]:
        assert len(of_task) >= 12
        for boxes in of_task:
            np.testing.assert_allclose(boxes, alone, atol=1e-3)
    assert jobs[case]["raised"] == (case != "plain")
    on_gpu = [batches for name, batches in jobs[case]["batches"].items() if name.startswith("cuda")]
    assert on_gpu
    sizes = {size for batches in on_gpu for size in batches}
    assert max(sizes) > 2 if case == "plain" else max(sizes) >= 2  # images of several tasks in one batch
    assert case != "few" or max(sizes) <= 3


@pytest.mark.slow
def test_a_detector_that_no_gpu_helps_or_that_finds_none_ends_the_job_with_what_to_do(jobs):
    assert "runs on CPUs only; set it to 0" in jobs["cpu only"]["said"]
    assert "the installed onnxruntime runs on no GPU" in jobs["no cuda"]["said"]


@pytest.mark.parametrize("batch", [2, 5])
def test_a_batch_of_mixed_sizes_finds_the_same_faces_as_one_image_at_a_time(batch):
    whole = data.astronaut()
    images = [whole[: 512 - 100 * (i % 2), i * 8 :] for i in range(6)]
    images.insert(2, np.zeros((1, 700, 3), np.uint8))
    one, several = CenterFaceDetector()(images), CenterFaceDetector(batch=batch)(images)
    assert [len(faces) for faces in several] == [len(faces) for faces in one]
    assert sum(map(len, one)) >= 6
    for mine, other in zip(one, several, strict=True):
        np.testing.assert_allclose([f.box for f in mine], [f.box for f in other], atol=1e-3)


def test_a_gpu_that_has_no_room_for_both_is_an_error():
    with pytest.raises(InputError, match=r"detect_gpus = 0\.3 and embed_gpus = 1: expected at most 1"):
        load(Config, None, ["ingest.detect_gpus=0.3"])
    assert load(Config, None, ["ingest.detect_gpus=0.3", "ingest.embed_gpus=0.7"]).ingest.detect_gpus == 0.3
