"""The notebooks run from their first cell to their last, as they are written, on the small world's store."""

import json
import re
import subprocess
import sys

import pytest

from tests.support import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def _code(path):
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_output(path):
    cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)


def test_the_way_from_pairs_to_voices_is_ten_cells():
    assert len(_code(ROOT / "docs" / "notebooks" / "pairs_to_voices.ipynb")) == 10


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, pairs_store, tmp_path):
    """Its cells are one module `__main__`, as in a kernel."""
    code, found = re.subn(r'"quickstart/store"', json.dumps(pairs_store), "\n".join(_code(path)))
    assert found == 1
    (tmp_path / "notebook.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "notebook.py"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    if path.stem == "pairs_to_voices":
        assert re.search(r"AUC [01]\.\d{3} \([01]\.\d{3} to [01]\.\d{3}\) on 4 unseen people", done.stdout)
        assert (tmp_path / "suited.wav").is_file()
    else:
        assert "rules kept" in done.stdout
        assert len(re.findall(r"^(?:mine|ridge|cca) .* [01]\.\d{3} \+- 0\.\d{3}$", done.stdout, re.MULTILINE)) == 6
