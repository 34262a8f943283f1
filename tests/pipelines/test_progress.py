"""Progress of long work, where nobody watches and where somebody does."""

import io
import re
import sys
import time

import pytest

from pipelines.progress import PLAIN_EVERY_S, PlainStep, step


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
    assert all(re.match(r"ingest: \d+/1000 videos", line) for line in lines)
    assert "\x1b" not in shown.stream.getvalue()
    assert "\r" not in shown.stream.getvalue()


def test_time_left_only_once_it_means_something_and_then_right(clock):
    shown = _plain(100, clock)
    clock[0] += 40
    shown.advance(4)  # starting up has cost most of these 40 s
    assert "left" not in shown.stream.getvalue()
    clock[0] += 40
    shown.advance(16)
    assert shown.stream.getvalue().splitlines()[-1] == "ingest: 20/100 videos, 5 min left"
    clock[0] += 80
    shown.advance(60)
    assert shown.stream.getvalue().splitlines()[-1] == "ingest: 80/100 videos, 40 s left"


def test_work_of_unknown_size_has_no_time_left(clock):
    shown = _plain(0, clock)
    clock[0] += 60
    shown.advance(3, note="7 clips")
    assert shown.stream.getvalue() == "ingest: 3/0 videos, 7 clips\n"


def test_elsewhere_than_on_a_terminal_a_step_ends_in_one_line(capsys):
    with step("train", 50, "steps") as shown:
        for number in range(1, 51):
            shown.set(number, f"dev AUC {number / 100:.2f}")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"train: 50 steps in \d\.\d s dev AUC 0\.50\n", err)


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
    assert "3/3" in terminal.getvalue()
    assert "fine" in terminal.getvalue()
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
    assert capsys.readouterr().err == ""
