"""The face detectors themselves."""

import subprocess
import sys

import pytest

KEPT = """
import numpy as np, psutil
from skimage import data
from pipelines.extraction.faces.detectors import faces_of, open_detector
detector, image = open_detector("centerface"), data.astronaut()
found = [face.box for face in faces_of(detector, image)]
kept = psutil.Process().memory_info().rss
detector.give_back_memory()
given_mb = (kept - psutil.Process().memory_info().rss) / 1e6
assert found and [face.box for face in faces_of(detector, image)] == found
print(given_mb)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="whether freed memory leaves a process is the system's affair")
def test_centerface_gives_back_memory_and_then_finds_the_same_faces():
    done = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 20
