"""The docs site: it builds without a warning, its navigation names every page, its reference every public name."""

import os
import re
import subprocess
import sys

import yaml

import stores
import vclip
from pipelines import extraction
from tests.support import ROOT

DOCS = ROOT / "docs"


def _pages(nav):
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else _pages(value)


def test_the_navigation_names_every_page():
    yaml.SafeLoader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    nav = list(_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    written = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")}
    assert len(nav) == len(set(nav))
    assert set(nav) == written | {"index.md"}  # which is README.md


def test_the_reference_names_every_public_name():
    for module, page in ((vclip, "vclip"), (stores, "stores"), (extraction, "extraction")):
        text = (DOCS / "api" / f"{page}.md").read_text()
        named = re.findall(rf"^::: {module.__name__}\.(\w+)$", text, re.MULTILINE)
        assert sorted(named) == sorted(set(module.__all__) - {"__version__"})


def test_the_site_builds_without_a_warning(tmp_path):
    """The same as `make docs`."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "api" / "vclip" / "index.html").read_text()
    assert 'id="vclip.train"' in reference
    assert "(F, d_face) float32" in reference  # a comment of `Pairs`
    assert "people in a batch" in reference.lower()  # a description of `TrainConfig`
    assert "What to expect" in (tmp_path / "index.html").read_text()
    assert '<span class="whole">--store</span>' in (tmp_path / "commands" / "index.html").read_text()
