"""Jobs where Ray is told of a GPU that is not there: encoders run where they gain, and lacking CUDA is one line."""

import subprocess
import sys

import numpy as np
import pytest

from pipelines.ingest.embed import decode_image
from stores import Store
from stores.pairs import matrix
from tests.support.ingest_world import write_files
from tests.support.vclip_command import ROOT

WITH_A_GPU = """
import sys
from pathlib import Path
import ray
from pipelines.cluster.ddp import train_on
from pipelines.ingest.job import ingest
from pipelines.maintenance.reembed import embed
from tests.support import ingest_world
from vclip.errors import InputError
store, folder = sys.argv[1:]
ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
sources = ingest_world.sources_in(Path(folder))
offline = ingest_world.offline(ingest_world.TINY[0])
for job in (
    lambda: ingest(sources, store + "-torch", offline, ingest_world.extract),
    lambda: train_on(1, None, "f", "v"),
):
    try:
        job()
    except InputError as error:
        print("REFUSED", error)
voice = "encoders.voice=python:tests.support.resources_encoder:ResourcesEncoder"
ingest(sources, store, ingest_world.offline(ingest_world.TINY[0], voice), ingest_world.extract)
embed(store, ingest_world.offline(voice.replace("voice", "face", 1)), ["faces"], task_rows=30)
"""


@pytest.mark.slow
def test_encoders_that_gain_nothing_stay_in_the_tasks_and_a_gpu_without_cuda_is_one_line(tmp_path):
    store = str(tmp_path / "store")
    command = [sys.executable, "-c", WITH_A_GPU, store, str(write_files(tmp_path / "videos", 3, clips=40))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    refused = [line for line in done.stdout.splitlines() if line.startswith("REFUSED")]
    assert len(refused) == 2
    for line in refused:
        assert line.startswith("REFUSED device 'cuda': torch")
        assert "finds no GPU" in line
        assert "CUDA_VISIBLE_DEVICES='0'" in line
    assert "faces: tiny-faces does not gain from GPUs, so the tasks embed" in done.stderr
    rows = Store.open(store)
    voices = matrix(rows.query("voices", ["vector_resources"])["vector_resources"])
    assert voices.tolist() == [[1, 0]] * 120  # in an actor with a GPU, opened for it
    again = matrix(rows.query("faces", ["vector_resources"])["vector_resources"])  # by `vclip embed`
    assert again.tolist() == [[1, 0]] * 120
    for face in rows.query("faces", ["image", "vector_tiny_faces"]).to_pylist():
        crop = decode_image(face["image"])
        np.testing.assert_allclose(face["vector_tiny_faces"], [crop.mean(), crop.std()], rtol=1e-5)
