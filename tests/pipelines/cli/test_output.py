"""What commands print: names as they are, nouns that agree, help in groups, one line for a missing extra."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

import vclip
from pipelines.cli.app import GROUPS
from pipelines.cli.extra import missing_extra
from pipelines.cli.output import examples, interval, print_json, print_line, print_result, print_table
from pipelines.wording import count
from tests.support import ROOT

HOSTILE = ["Interview [dQw4w9WgXcQ].mp4", "[/bold] [red]x", "a:smile:b", "[link=file:///etc]x[/link]", "100%.mp4"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_printed_as_they_are(name, capsys):
    print_table(name, ("file",), [(name,)])
    print_result({"file": name}, False, "result")
    print_line(name)
    assert capsys.readouterr().out.count(name) == 4


@pytest.mark.parametrize(("text", "shown"), [("a\x1b[31mb", r"a\x1b[31mb"), ("a\rb\x07", r"a\rb\x07")])
def test_what_would_drive_the_terminal_is_shown_as_an_escape(text, shown, capsys):
    print_line(text)
    print_table("", ("file",), [(text,)])
    out = capsys.readouterr().out
    assert out.count(shown) == 2
    assert not {"\x1b", "\r", "\x07"} & set(out)


def test_a_name_of_bytes_that_are_no_text_is_printed(capsys):
    print_line("caf\udce9.mp4")
    assert capsys.readouterr().out == "caf\\udce9.mp4\n"


def test_numbers_and_nouns_agree():
    assert [count(n, "clip") for n in (0, 1, 2, 1220)] == ["0 clips", "1 clip", "2 clips", "1,220 clips"]
    assert count(1, "person", "people") == "1 person"
    assert examples([]) == ""
    assert examples(["a", "b", "c", "d"]) == "4: a, b, c ..."
    assert interval(None) == "–"
    assert interval({"value": 0.5, "low": 0.25, "high": 0.75}) == "0.500\n0.250–0.750"
    assert interval({"value": 0.5, "low": 0.25, "high": 0.75}, 2, "+") == "+0.50\n+0.25 to +0.75"
    assert interval({"value": -0.0001, "low": -0.02, "high": -0.0004}) == "0.000\n-0.020 to 0.000"


def test_times_and_bytes_have_units_that_suit_them_and_keys_are_words(capsys):
    print_result({"took_s": 250.0, "bytes": {"before": 2_534_000}, "rate_hz": 16000, "clips": 1220}, False, "job")
    printed = capsys.readouterr().out
    for words in ("took", "4 min 10 s", "before: 2.53 MB", "rate (Hz)", "16,000", "1,220"):
        assert words in printed
    assert "_" not in printed
    print_result({"score": 0.0424, "nearest_known_cosine": 0.8, "seed": 0}, False, "speech")
    printed = capsys.readouterr().out
    for words in ("0.042 ", "0.800", "│0 "):
        assert words in printed
    print_json({"took_s": 250.0})
    assert json.loads(capsys.readouterr().out) == {"took_s": 250.0}


def test_numbers_are_aligned_right_and_a_row_can_be_kept_on_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_table("", ("name", "AUC", "n"), [("a", "0.832\n0.773 to 0.874", "5"), ("long name", "–", "1,220")])
    lines = capsys.readouterr().out.splitlines()
    (first,), (second,) = ([line for line in lines if end in line] for end in ("0.832", "1,220"))
    assert first.index("5") == second.index("1,220") + len("1,22")
    print_table("", ("id", "why"), [("a" * 24, "a reason that is long " * 4)], whole="id", one_line=True)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "aaa" in line]
    assert "a" * 24 in row
    assert row.rstrip().endswith("…")
    print_result({"synthetic": True, "sha256": "0123456789abcdef" * 4}, False, "")
    assert "0123456789abcdef" * 4 in re.sub(r"[^0-9a-f]", "", capsys.readouterr().out.partition("hash")[2])
    print_result({"synthetic": True, "out": "work/x"}, False, "")
    assert {"yes", "written to"} <= set(re.split(r" *│|\n", capsys.readouterr().out))


def test_quiet_may_stand_anywhere_and_leaves_results_and_errors(tmp_path, vclip):
    missing = str(tmp_path / "none")
    for arguments in (("--quiet", "plugins"), ("plugins", "--quiet"), ("plugins",)):
        said = vclip(*arguments)
        assert (said.code, bool(said.out), said.err) == (0, True, "")
    failed = vclip("runs", "--store", missing, "--quiet")
    assert (failed.code, failed.err.count("\n")) == (2, 1)
    assert " ERROR vclip: " in failed.err


def test_json_takes_dataclasses_times_and_paths(capsys, tmp_path):
    @dataclass(frozen=True)
    class Result:
        out: object
        at: datetime

    print_json({"result": Result(tmp_path, datetime(2026, 1, 2, tzinfo=UTC))})
    found = json.loads(capsys.readouterr().out)
    assert found == {"result": {"out": str(tmp_path), "at": "2026-01-02T00:00:00+00:00"}}


def _vclip(*arguments):
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_help_lists_every_command_in_a_group_in_the_order_of_the_work():
    printed = _vclip("--help")
    lines = [line.strip("│╭─╮ ") for line in printed.splitlines()]
    places = [lines.index(heading) for heading in GROUPS]
    assert places == sorted(places)
    assert "More" not in lines
    # A command stands one space behind the frame; its text goes on further to the right.
    names = re.findall(r"^│ (\S+)", printed, re.MULTILINE)
    found = [name for name in names if any(name in group for group in GROUPS.values())]
    assert found == [name for group in GROUPS.values() for name in group]


def test_the_version():
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "--version"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout == f"vclip {vclip.__version__}\n"


def test_a_missing_extra_is_one_line_and_another_module_is_a_defect():
    line = missing_extra(ModuleNotFoundError("No module named 'lancedb.db'", name="lancedb.db"))
    assert "'lancedb'" in line
    assert "pip install 'vclip[pipelines]'" in line
    with pytest.raises(ModuleNotFoundError):
        missing_extra(ModuleNotFoundError("No module named 'vclip.nonsense'", name="vclip.nonsense"))


def test_without_the_extra_a_command_says_so_in_one_line():
    code = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
sys.meta_path.insert(0, Blocker())
from pipelines.cli import main
sys.argv = ["vclip", "ingest", "--help"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'vclip[pipelines]'" in done.stderr
