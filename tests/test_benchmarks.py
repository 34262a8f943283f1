"""The benchmarks run for hours and not in CI; here they are only read, so that none is left behind by a change."""

import runpy
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("name", sorted(str(path.relative_to(BENCHMARKS)) for path in BENCHMARKS.rglob("*.py")))
def test_a_benchmark_finds_what_it_imports(name, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    assert runpy.run_path(str(BENCHMARKS / name))["__doc__"]
