"""Files and folders are written whole or not at all, and only an error of writing them is told as one."""

import errno
import os
import shutil
import socket
import subprocess
import sys
import threading

import pytest

from vclip.errors import InputError
from vclip.files import NAME_BYTES, replaced_folder, whole_file, whole_folder

WAYS = [whole_file, whole_folder]


def _write(draft, text="new"):
    (draft / "a.txt" if draft.is_dir() else draft).write_text(text)


@pytest.mark.parametrize("whole", WAYS)
def test_what_was_written_takes_its_place_and_leaves_nothing_beside(tmp_path, whole):
    out = tmp_path / "new" / "out.txt"
    with whole(out) as draft:
        assert draft.suffix == ".txt" or draft.is_dir()
        _write(draft)
        assert not out.exists()
    assert (out / "a.txt" if out.is_dir() else out).read_text() == "new"
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("whole", WAYS)
@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file or directory", "missing.mp4"),
        OSError(errno.EIO, "Input/output error"),
        OSError("has changed since it was listed"),
    ],
)
def test_an_input_that_cannot_be_read_is_not_told_as_the_output(tmp_path, whole, error):
    def read(draft):
        _write(draft)
        raise error

    with pytest.raises(OSError) as raised, whole(tmp_path / "out") as draft:  # noqa: PT011 the very error
        read(draft)
    assert raised.value is error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("whole", WAYS)
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_the_output(tmp_path, whole, number):
    with pytest.raises(InputError, match=r"out: cannot be written \("), whole(tmp_path / "out"):
        raise OSError(number, os.strerror(number))  # as `write` does, without a name
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "full").mkdir(parents=True)
    for whole in WAYS:
        with pytest.raises(InputError, match="file/out: cannot be written"), whole(tmp_path / "file" / "out"):
            pytest.fail("there is no folder to write to")
    with pytest.raises(InputError, match="folder: cannot be written"), whole_file(tmp_path / "folder") as draft:
        _write(draft)
    with pytest.raises(InputError, match="out: cannot be written"), whole_file(tmp_path / "out") as draft:
        (draft / "below").write_text("the draft is a file")
    for taken in ("file", "folder"):
        with (
            pytest.raises(InputError, match=f"{taken}: found .*, expected a new or empty folder"),
            whole_folder(tmp_path / taken),
        ):
            pytest.fail("there is something already")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_threads_that_write_the_same_file_have_drafts_of_their_own(tmp_path):
    drafts, both = [], threading.Barrier(2, timeout=10)

    def write():
        with whole_file(tmp_path / "a.txt") as draft:
            drafts.append(draft)
            _write(draft)
            both.wait()

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(drafts)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("whole", WAYS)
def test_names_as_long_as_they_may_be_can_be_written(tmp_path, whole):
    name = "ä" * ((NAME_BYTES - 4) // 2) + ".txt"
    with whole(tmp_path / name) as draft:
        _write(draft)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("whole", WAYS)
def test_drafts_that_a_killed_process_left_go_with_the_next_writing(tmp_path, whole):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = socket.gethostname().replace(".", "_")
    end = ".txt" if whole is whole_file else ""
    left, living, other = (
        tmp_path / f".{stem}.{host}-{pid}.part{end}"
        for stem, pid in (("out", ended.pid), ("out", os.getppid()), ("out2", ended.pid))
    )
    for draft in (left, living, other):
        draft.write_text("old") if end else draft.mkdir()
    with whole(tmp_path / ("out.txt" if end else "out")) as draft:
        _write(draft)
    assert not left.exists()
    assert living.exists()
    assert other.exists()


def test_a_folder_takes_the_place_of_another_in_one_step(tmp_path):
    """Readers find the old one or the new one, each whole, as often as they look."""
    target, missing, over = tmp_path / "model", [], threading.Event()
    with whole_folder(target) as draft:
        _write(draft, "0")

    def look():
        while not over.is_set():
            try:
                (target / "a.txt").read_text()
            except OSError as error:
                missing.append(error)

    reader = threading.Thread(target=look)
    reader.start()
    for number in range(1, 50):
        with replaced_folder(target, "model") as draft:
            _write(draft, str(number))
    over.set()
    reader.join()
    assert not missing
    assert (target / "a.txt").read_text() == "49"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_is_moved_is_on_the_disk_before_it_has_its_name_and_the_name_before_it_returns(tmp_path):
    """The system's calls, as strace writes them down."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "log"
    code = "from pathlib import Path; from vclip.files import whole_file\n"
    code += f"with whole_file(Path({str(tmp_path / 'a')!r})) as draft: draft.write_text('x')"
    calls = "trace=fsync,rename,renameat,renameat2"
    done = subprocess.run(
        ["strace", "-y", "-e", calls, "-o", str(log), sys.executable, "-c", code], capture_output=True, text=True
    )
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip("this system does not let processes be traced")
    assert not done.returncode, done.stderr
    seen = [line for line in log.read_text().splitlines() if str(tmp_path) in line]
    names = [line.partition("(")[0] for line in seen]
    assert [name.removesuffix("at2").removesuffix("at") for name in names] == ["fsync", "rename", "fsync"]
    assert ".part" in seen[0]
    assert f"<{tmp_path}>" in seen[2]
