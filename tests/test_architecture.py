"""Imports run one way: pipelines -> {vclip, stores}, downwards in pipelines; vclip needs no Ray and no LanceDB."""

import ast
import functools
import graphlib
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STORE = {"lancedb", "lance", "lance_ray", "pylance", "pyarrow"}
# What a folder's files may never import, at the top or inside a function.
FORBIDDEN = {
    "vclip": {"ray", "stores", "pipelines", *STORE},
    "stores": {"vclip", "pipelines", "torch", "ray", "lance_ray"},
    "pipelines/extraction": {"ray", "stores", *STORE},
}
# Of `pipelines`, extraction may import its own folder only.
EXTRACTION = "pipelines.extraction"


# The layers of `pipelines`, from the top. A file imports from its own layer and from those below.
LAYERS = (
    {"cli"},
    {"browsing", "quickstart"},
    {
        "analysis",
        "association",
        "generation",
        "hub",
        "ingest",
        "inspection",
        "listening",
        "maintenance",
        "search",
        "voices",
    },
    {"config"},
    {"extraction"},
    {"cluster", "files", "html", "progress", "wording"},
)


def _imports(path):
    """Yields (line, full dotted name) of every import in a file, relative ones resolved."""
    package = path.relative_to(ROOT).parent.parts
    for node in _nodes(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("importlib.import_module", "import_module", "__import__")
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, node.args[0].value


def _nodes(tree):
    """Every node below one, those that only a type checker reads left out."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _nodes(node)


@functools.cache
def _graph():
    """Each module of the three packages, and the modules that it imports, at its top or inside a function."""
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for folder in ("vclip", "stores", "pipelines")
        for path in _files(folder)
    }
    found = {name: {_module_of(full, paths) for _, full in _imports(path)} for name, path in paths.items()}
    return {name: targets - {name, ""} for name, targets in found.items()}


def _module_of(name, modules):
    """The module that a dotted name is, or is defined in; empty outside the three packages."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def _circle(graph):
    """The names along one circle; empty where there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def _files(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, f"{folder} holds no files"
    return files


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_no_package_imports_what_it_must_not_know(folder):
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in _files(folder)
        for line, name in _imports(path)
        if name.split(".")[0] in FORBIDDEN[folder]
    ]
    assert not wrong, "\n".join(wrong)


def test_extraction_knows_nothing_else_of_the_pipelines():
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in _files("pipelines/extraction")
        for line, name in _imports(path)
        if name.startswith("pipelines.") and not f"{name}.".startswith(f"{EXTRACTION}.")
    ]
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle():
    assert not _circle(_graph())


def test_no_folders_of_jobs_import_each_other_in_a_circle():
    folders = {}
    for name, targets in _graph().items():
        if name.startswith("pipelines."):
            own = folders.setdefault(name.split(".")[1], set())
            own |= {target.split(".")[1] for target in targets if target.startswith("pipelines.")}
    for name, targets in folders.items():
        targets.discard(name)
    assert not _circle(folders)


def test_within_the_pipelines_imports_go_down():
    layer = {name: number for number, names in enumerate(LAYERS) for name in names}
    wrong = [
        f"{name} imports {target}"
        for name, targets in _graph().items()
        for target in targets
        if name.startswith("pipelines.") and target.startswith("pipelines.")
        if layer[name.split(".")[1]] > layer[target.split(".")[1]]
    ]
    assert not wrong, "\n".join(wrong)


def test_circles_are_seen():
    """So that the tests above can fail."""
    assert sorted(set(_circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}))) == ["a", "b", "c"]
    assert not _circle({"a": {"b"}, "b": set()})


def test_pipelines_is_a_folder_for_each_job_and_a_handful_of_files():
    loose = [path.name for path in (ROOT / "pipelines").glob("*.py")]
    assert len(loose) <= 8, loose
    assert {path.name for path in (ROOT / "pipelines").iterdir() if path.is_dir()} - {"__pycache__", "presets"} <= (
        set().union(*LAYERS)
    )


def test_what_the_page_of_the_architecture_names_exists():
    named = re.findall(r"`([\w/]+/|[\w/]+\.py)`", (ROOT / "docs" / "architecture.md").read_text())
    assert len(named) > 30
    assert not [name for name in named if not any((ROOT / base / name).exists() for base in ("", "pipelines"))]


def test_no_package_imports_tests_benchmarks_or_tools():
    names = {"tests", "pytest", "benchmarks", "tools"}
    for folder in ("vclip", "stores", "pipelines"):
        for path in _files(folder):
            assert not {name.split(".")[0] for _, name in _imports(path)} & names, path


def test_the_reader_of_imports_sees_every_kind(tmp_path, monkeypatch):
    """So that the tests above can fail."""
    path = tmp_path / "vclip/speakers/file.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import ray.data as rd\nfrom lancedb import connect\nfrom .. import config\nfrom .bank import SpeakerBank\n"
        "def f():\n    import stores\n    importlib.import_module('pipelines.cli')\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert sorted(name for _, name in _imports(path)) == [
        "lancedb.connect", "pipelines.cli", "ray.data", "stores", "vclip.config", "vclip.speakers.bank.SpeakerBank",
    ]  # fmt: skip


def test_test_files_have_names_of_their_own_and_no_packages():
    """pytest imports a test file by its bare name; a package tests/stores would shadow `stores`."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
    packages = {path.parent.name for path in (ROOT / "tests").rglob("__init__.py")}
    assert packages == {"tests", "support"}


def _run(code, *arguments, **kwargs):
    """Runs Python code in a fresh interpreter at the root of the repository; returns what it printed."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, **kwargs)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_vclip_trains_and_saves_without_ray_and_lancedb(tmp_path):
    out = _run(
        """
        import sys

        class Blocker:
            blocked = {"ray", "lancedb", "lance", "lance_ray", "pyarrow", "stores", "pipelines"}
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in self.blocked:
                    raise ModuleNotFoundError(f"blocked: {name}", name=name)

        sys.meta_path.insert(0, Blocker())
        try:
            import lancedb
        except ModuleNotFoundError:
            pass
        else:
            raise SystemExit("the blocker does not block")

        import numpy as np
        import vclip
        for name in vclip.__all__:
            assert getattr(vclip, name) is not None, name
        rng, ids = np.random.default_rng(0), np.array([f"id{i}" for i in range(20)])
        faces, voices = rng.normal(size=(20, 5)).astype("f4"), np.abs(rng.normal(size=(20, 4))).astype("f4")
        rows = np.arange(20)
        pairs = vclip.Pairs(faces, rows, voices, rows, ids, ids, ids, np.full(20, ""))
        model, history = vclip.train(pairs, "f", "v", vclip.TrainConfig(max_steps=10, evaluate_every=5, device="cpu"))
        again = vclip.AssociationModel.load(model.save(sys.argv[1], {"auc": history.best_dev_auc}))
        assert (again.embed_faces(faces) == model.embed_faces(faces)).all()
        assert not Blocker.blocked & set(sys.modules)
        print(history.step)
        """,
        tmp_path / "model",
    )
    assert out.strip() == "[0, 5, 10]"


def test_help_loads_nothing_heavy_and_answers_at_once():
    code = """
    import sys
    from pipelines.cli.commands import app
    sys.argv = ["vclip", *sys.argv[1:]]
    try:
        app()
    except SystemExit as end:
        assert not end.code, end.code
    heavy = {"torch", "ray", "lancedb", "lance", "pyarrow", "numpy", "cv2", "sklearn", "pandas", "duckdb"}
    print("LOADED", sorted(heavy & set(sys.modules)))
    """
    start_s = time.monotonic()
    out = _run(code, "--help")
    took_s = time.monotonic() - start_s
    assert "ingest" in out
    assert "generate" in out
    assert out.strip().endswith("LOADED []")
    # Half a second is the aim on an idle machine; a heavy import costs several.
    assert took_s < 5
    for command in ("train", "generate", "ingest"):
        assert _run(code, command, "--help").strip().endswith("LOADED []")


def test_vclip_itself_loads_nothing_until_asked():
    out = _run("import sys, vclip; print(sorted({'torch', 'numpy', 'cv2', 'sklearn'} & set(sys.modules)))")
    assert out.strip() == "[]"
    assert set(_run("import vclip; print(*dir(vclip))").split()) >= {"train", "Pairs", "open_tts", "InputError"}
    assert "no attribute 'nonsense'" in _run(
        "import vclip\ntry: vclip.nonsense\nexcept AttributeError as error: print(error)"
    )


def test_the_command_line_runs_as_a_file(tmp_path):
    # So `ray submit` runs it. Its folder holds names of Python's own library, and must not come before that.
    command = [sys.executable, ROOT / "pipelines" / "cli" / "__main__.py", "query", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "Read rows of a store" in done.stdout
