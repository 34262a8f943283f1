"""What `pip install` brings: the library with its packages, the extras with theirs, and every data file."""

import ast
import fnmatch
import importlib
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vclip
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
OWN = {"vclip", "stores", "pipelines"}
# Inside a module that is opened only where the extra is installed, or that says what to install.
EXTRA = [line for name in ("vits", "piper", "c2pa", "transcripts") for line in EXTRAS[name]]
OPTIONAL = {"vclip": EXTRA, "pipelines": ["umap-learn"], "stores": []}
# Modules that the metadata of their distribution does not list, or that come with another one.
PROVIDERS = {"dlib": ["dlib-bin"], "umap": ["umap-learn"], "starlette": ["fastapi"], "markupsafe": ["jinja2"]}
PROVIDERS |= {"lance_namespace": ["pylance"]}


def _names(requirements):
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def _imported(folder):
    """Top-level third-party modules that the files of a package import, each with the first file that does."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names | OWN:
                    found.setdefault(top, path.relative_to(ROOT))
    return found


@pytest.mark.parametrize("folder", ["vclip", "stores", "pipelines"])
def test_what_a_package_imports_is_what_its_installation_brings(folder):
    declared = _names(PROJECT["project"]["dependencies"]) | _names(OPTIONAL[folder])
    if folder != "vclip":
        declared |= _names(EXTRAS["pipelines"])
    providers = packages_distributions() | PROVIDERS
    missing = {
        module: str(path)
        for module, path in _imported(folder).items()
        if not {canonicalize_name(name) for name in providers.get(module, [module])} & declared
    }
    assert not missing


def test_every_data_file_is_in_the_wheel():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    for package in OWN:
        for path in (ROOT / package).rglob("*"):
            name = str(path.relative_to(ROOT / package))
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns.get(package, [])), path


def test_every_package_of_the_tree_is_one_for_setuptools():
    assert set(PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]) == {f"{name}*" for name in OWN}
    for package in OWN:
        for path in (ROOT / package).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} has no __init__.py"


def test_the_version_is_the_same_everywhere():
    assert PROJECT["project"]["version"] == vclip.__version__
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == vclip.__version__


def test_the_pins_hold_what_the_project_asks_for():
    pins = [line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    pinned = {canonicalize_name(pin.partition("==")[0]): pin.partition("==")[2] for pin in pins if pin}
    for line in [*PROJECT["project"]["dependencies"], *EXTRAS["pipelines"], *EXTRAS["dev"]]:
        requirement = Requirement(line)
        if requirement.name != "vclip" and canonicalize_name(requirement.name) in pinned:
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), line


def test_the_type_marker_is_there():
    assert Path(vclip.__file__).with_name("py.typed").is_file()


def test_the_command_starts_what_is_there():
    module, _, name = PROJECT["project"]["scripts"]["vclip"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))
