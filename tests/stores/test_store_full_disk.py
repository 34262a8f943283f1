"""A disk that fills up: one clear line, a store that stays whole, and a second run that finishes."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT

CHILD = """
import sys
sys.path.insert(0, {root!r})
from tests.support.store_world import FACES, VOICES, RUN, contents, video
from stores import Store, StoreUnavailable

full, after = Store.create("{place}/store", FACES, VOICES), Store.create("{after}/same", FACES, VOICES)
batches = [[video(number, clips=20) for number in range(first, first + 2)] for first in range(0, 100, 2)]
try:
    for done, batch in enumerate(batches):
        full.commit(batch)
except StoreUnavailable as error:
    print(error)
seen = contents(Store.open("{place}/store"))
for batch in batches[:done]:
    after.commit(batch)
assert done and seen == contents(after), done
(__import__("pathlib").Path("{place}") / "ballast").unlink()
full.commit(batches[done])
after.commit(batches[done])
assert contents(Store.open("{place}/store")) == contents(after)
print("whole", done)
"""


def test_a_full_disk_is_one_line_and_the_store_stays_whole(tmp_path):
    """On a file system of 3 MB in a mount namespace of its own, most of it taken by a file that can go."""
    place = tmp_path / "small"
    place.mkdir()
    mount = f"mount -t tmpfs -o size=3m tmpfs {place} && head -c 2m /dev/zero > {place}/ballast"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this system gives no file system of one's own (unshare)")
    child = tmp_path / "child.py"
    child.write_text(CHILD.format(root=str(ROOT), place=place, after=tmp_path))
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    command = ["unshare", "-rm", "sh", "-c", f"{mount} && {sys.executable} {child}"]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-2000:]
    line, whole = done.stdout.splitlines()
    assert line == (
        "the commit: no space left on the store's device; free some and run again: what is committed stays"
    )
    assert whole.startswith("whole ")
