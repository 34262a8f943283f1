"""Progress of long work, where nobody watches and where somebody does."""

import io
import re
import sys
import time

import pytest

from pipelines.progress import PLAIN_EVERY_S, PlainStep, quiet, say, step, warn


@pytest.fixture
def clock():
    """A clock that the test moves: clock[0] is now, in seconds."""
    return [1000.0]


def _plain(total: float, clock: list[float]) -> PlainStep:
    return PlainStep("ingest", total, "videos", lambda: clock[0], stream=io.StringIO())


def test_a_line_now_and_then_and_not_a_line_a_video(clock):
    shown = _plain(1000, clock)
    for _ in range(1000):
        clock[0] += 0.06
        shown.advance()
    lines = shown.stream.getvalue().splitlines()
    assert 5 <= len(lines) <= 60 / PLAIN_EVERY_S
    assert all(re.match(r"\S+Z INFO ingest: \d+/1,000 videos, \d\S*/s", line) for line in lines)
    assert "\x1b" not in shown.stream.getvalue()
    assert "\r" not in shown.stream.getvalue()


def test_time_left_only_once_it_means_something_and_then_right(clock):
    shown = _plain(100, clock)
    clock[0] += 40
    shown.advance(4)  # starting up has cost most of these 40 s
    assert "left" not in shown.stream.getvalue()
    clock[0] += 40
    shown.advance(16)
    assert shown.stream.getvalue().splitlines()[-1].endswith(" INFO ingest: 20/100 videos, 15/min, 5 min 20 s left")
    clock[0] += 80
    shown.advance(60)
    assert shown.stream.getvalue().splitlines()[-1].endswith(" INFO ingest: 80/100 videos, 30/min, 40 s left")


def test_all_of_it_is_left_to_the_line_at_the_end(clock):
    shown = _plain(5, clock)
    for done in range(1, 6):
        clock[0] += 2 * PLAIN_EVERY_S
        shown.set(done)
    assert re.findall(r"\d/5", shown.stream.getvalue()) == ["1/5", "2/5", "3/5", "4/5"]


def test_the_first_of_a_few_that_end_together_predicts_nothing(clock):
    shown = _plain(20, clock)
    clock[0] += 17
    shown.advance()  # the other 19 were worked on meanwhile
    assert shown.stream.getvalue().endswith(" INFO ingest: 1/20 videos, 3.5/min\n")


def test_a_long_job_tells_the_time_left_before_a_tenth_of_it(clock):
    shown = _plain(1_000_000, clock)
    clock[0] += 1000
    shown.advance(1000)
    assert shown.stream.getvalue().endswith(" INFO ingest: 1,000/1,000,000 videos, 1/s, 278 h left\n")


def test_high_rates_have_all_digits_before_the_point(clock):
    shown = _plain(40_000, clock)
    clock[0] += 10
    shown.advance(12_340)
    assert " 12,340/40,000 videos, 1,234/s, " in shown.stream.getvalue()


def test_work_of_unknown_size_has_no_time_left(clock):
    shown = _plain(0, clock)
    clock[0] += 60
    shown.advance(3, note="7 clips")
    assert shown.stream.getvalue().endswith(" INFO ingest: 3/0 videos, 3/min, 7 clips\n")


def test_elsewhere_than_on_a_terminal_a_step_is_two_lines_of_a_log(capsys):
    with step("train", 1500, "steps", note="run 7") as shown:
        for number in range(1, 1501):
            shown.set(number, f"dev AUC {number / 10000:.2f}")
    out, err = capsys.readouterr()
    assert out == ""
    first, last = err.splitlines()
    time_and_level = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ INFO "
    assert re.fullmatch(time_and_level + "train: 1,500 steps to do; run 7", first)
    assert re.fullmatch(time_and_level + r"train: 1,500 steps in \d\.\d s; dev AUC 0\.15", last)


@pytest.mark.parametrize(
    ("unit", "one"), [("files", "1 file"), ("people", "1 person"), ("s of video", "1 s of video")]
)
def test_one_of_a_unit_is_singular(capsys, unit, one):
    with step("speak", 1, unit) as shown:
        shown.advance()
    first, last = capsys.readouterr().err.splitlines()
    assert first.endswith(f"speak: {one} to do")
    assert f"speak: {one} in " in last


def test_messages_have_levels_and_quiet_leaves_warnings(capsys, monkeypatch):
    quiet(True)
    try:
        with step("train", 50, "steps") as shown:
            shown.advance()
        say("a message")
        warn("a warning")
    finally:
        quiet(False)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("Z WARNING a warning")
    say("\n== a message")
    assert re.fullmatch(r"\S+Z INFO == a message\n", capsys.readouterr().err)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    say("a message")
    warn("a warning")
    assert capsys.readouterr().err == "a message\nwarning: a warning\n"


def test_on_a_terminal_it_is_a_bar_on_stderr(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with step("embed", 3, "files") as shown:
        for _ in range(3):
            shown.advance(note="fine")
    assert terminal.getvalue().startswith("embed: 3 files to do\n")
    for text in ("3/3 files", "/s", "fine"):
        assert text in terminal.getvalue()
    with step("read [bold].mp4", 1, "[x]") as shown:
        shown.advance(note="[/] at a[1].wav")
    for text in ("read [bold].mp4", "[x]", "[/] at a[1].wav"):  # no markup
        assert text in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_a_step_within_a_step_shares_its_display(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with step("ingest", 3, "videos") as outer:
        for _ in range(3):
            with step("look at files", 2, "files") as inner:
                inner.advance()
                time.sleep(0.3)  # bars are drawn ten times a second
            outer.advance()
        time.sleep(0.3)
    shown = re.sub("\x1b\\[[^A-Za-z]*[A-Za-z]", "", sys.stderr.getvalue())
    # One below the other in one display, and the inner one goes when it is over.
    assert re.search(r"ingest [^\n]*0/3[^\n]*\n *look at files [^\n]*1/2", shown)
    assert re.search(r"ingest [^\n]*2/3[^\n]*\n *look at files [^\n]*1/2", shown)
    assert "look at files" not in shown.rpartition("3/3")[2]
    with step("again", 1) as alone:  # a display of its own
        alone.advance()
    assert "look at files" not in sys.stderr.getvalue().rpartition("again")[2]


def test_a_step_that_fails_says_no_more_than_its_error(capsys):
    with pytest.raises(KeyError), step("embed", 3, "files"):
        raise KeyError
    assert len(capsys.readouterr().err.splitlines()) == 1
