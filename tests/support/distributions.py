"""Installed packages without an installer: modules, and a dist-info folder whose entry points Python sees."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path


def write_distribution(
    folder: Path, name: str, version: str, modules: Mapping[str, str], entry_points: Mapping[str, Mapping[str, str]]
) -> Path:
    """Writes a package into `folder`, which counts as installed where that is on the path, and returns the folder.

    Args:
        folder: as a site-packages.
        name, version: of the distribution.
        modules: file -> source.
        entry_points: group -> name -> module:attribute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file, source in modules.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(source)
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, names in entry_points.items():
        lines += [f"[{group}]", *(f"{entry} = {target}" for entry, target in names.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


def install_plugins(folder: Path) -> Path:
    """Installs tests/plugin_package into a folder, as `pip install --target` would, and returns the folder."""
    source = Path(__file__).parents[1] / "plugin_package"
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    modules = {path.name: path.read_text() for path in source.glob("*.py")}
    return write_distribution(folder, project["name"], project["version"], modules, project["entry-points"])


def with_plugins(folder: Path) -> dict[str, str]:
    """Returns the environment in which processes, and the Ray workers that they start, see a folder as installed."""
    return {"PYTHONPATH": os.pathsep.join((str(folder), str(Path(__file__).parents[2])))}
