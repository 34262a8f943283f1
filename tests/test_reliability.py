"""Operations that write, killed at a few of their calls; `benchmarks/reliability/` tries all, on full disks too."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT

# Names in the command's table.
QUICK = (
    "create",
    "commit, videos replaced",
    "edit: undo",
    "tag remove",
    "embed --again",
    "embed --column --again",
    "migrate",
    "delete",
    "import features",
    "replace a model",
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="needs Linux and a C compiler")
def test_an_interrupted_operation_shows_no_middle_and_ends_as_undisturbed_when_run_again(tmp_path):
    command = [sys.executable, "-m", "benchmarks.reliability", "--operations", ";".join(QUICK)]
    done = subprocess.run(
        [*command, "--kills", "3", "--no-full", "--places", "local", "--json", tmp_path / "rows.json"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert {row["operation"] for row in rows} == set(QUICK)
    for row in rows:
        assert len(row["kills"]) >= 2, row
        assert not any(row["kills"].values()), row
