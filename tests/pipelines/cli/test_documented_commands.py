"""The commands in the README, the docs and the help exist as they are written there; those that are quick are run."""

import re
import shlex
import shutil

import click
import pytest
import yaml

from pipelines.config import preset
from tests.support.vclip_command import CLI, COMMANDS, ROOT

README = (ROOT / "README.md").read_text()
PAGE = (ROOT / "docs" / "commands.md").read_text()
DOCS = [path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))]


def _shell_lines(text: str) -> list[str]:
    """Every `vclip ...` in a page's shell blocks, without comments and what precedes it."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    # `ray submit` sends and runs a file, which is the command line's.
    found = (
        re.search(r"(?:^|-- )(vclip .*)", line.replace("pipelines/cli/__main__.py -- ", "-- vclip "))
        for line in lines
    )
    return [match[1] for match in found if match]


def _entrypoint() -> str:
    return yaml.safe_load((ROOT / "configs" / "kuberay.yaml").read_text())["spec"]["entrypoint"]


def _examples(command: click.Command) -> list[str]:
    text = " ".join((command.help or "").split())
    return re.findall(r"Example: `(vclip [^`]*)`", text)


WRITTEN = [
    *(line for text in (README, *DOCS) for line in _shell_lines(text)),
    *(line for command in COMMANDS.values() for line in _examples(command)),
    _entrypoint(),
]


def _parse(line: str) -> tuple[tuple[str, ...], dict]:
    """Returns the command's path and its values; raises click's errors at an unknown command or option."""
    _, *words = shlex.split(line, comments=True)
    context, command, path = click.Context(CLI, info_name="vclip"), CLI, ()
    while hasattr(command, "commands"):
        name, command, words = command.resolve_command(context, words)
        path = (*path, name)
        context = click.Context(command, info_name=name, parent=context)
    return path, command.make_context(path[-1], list(words)).params


def test_the_page_of_commands_shows_each_one():
    assert {_parse(line)[0] for line in _shell_lines(PAGE)} == set(COMMANDS)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_of_itself(path):
    examples = _examples(COMMANDS[path])
    assert examples
    assert all(_parse(line)[0] == path for line in examples)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_explains_every_option(path, vclip):
    answer = vclip(*path, "--help")
    assert answer.code == 0
    assert "Example" in answer.out
    for parameter in COMMANDS[path].params:
        assert parameter.name == "help" or parameter.help, parameter.name


@pytest.mark.parametrize("line", WRITTEN)
def test_what_is_written_parses(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, values = _parse(line)
    if values.get("config"):
        assert preset(values["config"]).is_file()


@pytest.mark.parametrize("line", ["vclip ingests x", "vclip ingest x --stor y --sotre z", "vclip train --out m"])
def test_the_parsing_above_can_fail(line):
    with pytest.raises(Exception, match=r"[Nn]o such|Missing"):  # typer may carry a click of its own
        _parse(line)


def test_makefile_targets_of_the_readme_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE)) <= targets


@pytest.fixture
def workspace(tmp_path, monkeypatch, ingested, pairs_store, pair_files, model, speakers, photo):
    """A folder where the paths of the docs exist."""
    work = tmp_path / "work"
    work.mkdir()
    shutil.copytree(ingested.store, work / "store")
    shutil.copytree(pairs_store, work / "pairs")
    shutil.copytree(model, work / "model")
    shutil.copytree(speakers, work / "speakers")
    shutil.copytree(pair_files, tmp_path / "pairs")
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    shutil.copy(photo, tmp_path / "photo.jpg")
    (tmp_path / "jobs.csv").write_text("face,text\nphoto.jpg,Hello there.\nphoto.jpg,Good night.\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _expanded(folder, word):
    return (sorted(map(str, folder.glob(word))) if "*" in word else []) or [word]


@pytest.mark.slow
def test_the_quick_commands_run_as_written(workspace, vclip):
    quick = {"query", "search", "evaluate", "generate", "verify", "voices"}
    lines = [line for line in _shell_lines(PAGE) if _parse(line)[0][0] in quick]
    assert len(lines) == 14
    for line in lines:
        answer = vclip(*(path for word in shlex.split(line)[1:] for path in _expanded(workspace, word)))
        assert answer.code == 0, (line, answer.err)
    assert len(list((workspace / "work" / "speech").glob("*.wav"))) == 4
    assert (workspace / "ann.safetensors").is_file()
    assert len(list((workspace / "work" / "batch").rglob("*.wav"))) == 6
    assert (workspace / "work" / "evaluation" / "roc.png").is_file()


@pytest.mark.slow
def test_the_python_example_of_the_readme_runs(workspace):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["scores"].shape == (5000,)
    assert len(names["best"]) == 3
    assert names["speech"].ndim == 1
    assert len(names["speech"]) > 0.5 * 24_000
