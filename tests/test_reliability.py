"""Operations that write, killed at a few of their calls; `benchmarks/reliability.py` tries all, on full disks too."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT

# Names in the script's table.
QUICK = (
    "create",
    "commit, videos replaced",
    "edit: undo",
    "tag remove",
    "embed --again",
    "migrate",
    "replace a model",
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler")
@pytest.mark.parametrize("operation", QUICK)
def test_an_interrupted_operation_shows_no_middle_and_ends_as_undisturbed_when_run_again(operation, tmp_path):
    rows = tmp_path / "rows.json"
    script = [
        sys.executable,
        ROOT / "benchmarks" / "reliability.py",
        "--kills",
        "3",
        "--no-full",
        "--places",
        "local",
    ]
    done = subprocess.run(
        [*script, "--operations", operation, "--json", rows],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    (row,) = json.loads(rows.read_text())
    assert row["seen"] == [], done.stdout
    assert row["kills"] == row["kills_held"] >= 2
    assert done.returncode == 0, done.stderr[-2000:]
