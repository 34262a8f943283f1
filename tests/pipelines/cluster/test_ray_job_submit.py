"""`ray job submit -- vclip ingest ...` and `vclip generate ...` on a cluster of its own, as the documents say."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stores import Store
from tests.support.vclip_command import BIN, OFFLINE
from vclip.marking.verify import verify

pytestmark = pytest.mark.slow
BATCH = OFFLINE.with_name("batch.yaml")
START_LIMIT_S, JOB_LIMIT_S = 120, 420


@dataclass(frozen=True)
class Cluster:
    """A head node on the loopback, and the environment in which it can be talked to."""

    dashboard: str
    env: dict[str, str]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two CPUs, a token of its own, and every process of it gone afterwards. No other Ray is touched."""
    folder = Path(tempfile.mkdtemp(prefix="vj", dir="/tmp"))  # short: the sockets in it have limited paths
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {
        "PATH": f"{BIN}{os.pathsep}{env['PATH']}",
        "RAY_AUTH_MODE": "token",
        "HOME": str(folder),  # its .ray/auth_token; the user's own stays as it is
        "no_proxy": "127.0.0.1,localhost",
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run(
        [BIN / "ray", "get-auth-token", "--generate"], env=env, check=True, capture_output=True, timeout=60
    )
    gcs, dashboard, client, agent = _free_ports(4)
    options = {
        "port": gcs, "dashboard-port": dashboard, "ray-client-server-port": client,
        "dashboard-agent-listen-port": agent,
        "dashboard-host": "127.0.0.1", "node-ip-address": "127.0.0.1", "num-cpus": 2, "temp-dir": folder / "ray",
        "object-store-memory": 200_000_000,
    }  # fmt: skip
    command = [str(BIN / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with open(folder / "head.log", "w") as log:
        head = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(f"http://127.0.0.1:{dashboard}", head, folder / "head.log")
        yield Cluster(f"http://127.0.0.1:{dashboard}", env)
    finally:
        _end(head)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, head: subprocess.Popen, log: Path) -> None:
    limit_s = time.monotonic() + START_LIMIT_S
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while time.monotonic() < limit_s:
        assert head.poll() is None, log.read_text()
        try:
            opener.open(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return  # it wants a token, so it is there
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"no dashboard at {url} after {START_LIMIT_S} s:\n{log.read_text()}")


def _family(head: int) -> dict[int, str]:
    """The process and all that it and its children started: pid -> when it started, by which it is known again."""
    stats = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                stats[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()
    family, before = {head}, set()
    while family != before:
        before = set(family)
        family |= {pid for pid, (_, parent, *_) in stats.items() if int(parent) in before}
    return {pid: stats[pid][19] for pid in family if pid in stats and stats[pid][0] != "Z"}


def _end(head: subprocess.Popen) -> None:
    """Ends the processes of this very cluster, of which some outlive their parents for a while."""
    family = _family(head.pid)
    for kind, wait_s in ((signal.SIGTERM, 1), (signal.SIGKILL, 8)):  # some outlast the first for long
        limit_s = time.monotonic() + wait_s
        for pid in family:
            if _family(pid).get(pid) == family[pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, kind)
        while any(_family(pid).get(pid) == start for pid, start in family.items()) and time.monotonic() < limit_s:
            head.poll()  # reaped, it is no longer there
            time.sleep(0.2)
    head.wait(10)
    assert not any(_family(pid).get(pid) == start for pid, start in family.items())


def test_an_ingest_is_submitted_as_a_job(cluster, sample, tmp_path):
    work = tmp_path / "work"
    (work / "configs").mkdir(parents=True)
    shutil.copy(OFFLINE, work / "configs")
    videos = [sample / "000_speaking.mp4", sample / "006_silent.mp4"]
    store = tmp_path / "store"
    done = subprocess.run(
        [
            *(BIN / "ray", "job", "submit", "--address", cluster.dashboard, "--working-dir", work, "--"),
            *("vclip", "ingest", *videos, "--store", store, "--config", "configs/offline.yaml", "--json"),
        ],
        env=cluster.env, capture_output=True, text=True, timeout=JOB_LIMIT_S,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "succeeded" in said
    rows = {row["uris"][0]["uri"]: row["state"] for row in Store.open(str(store)).query("videos").to_pylist()}
    assert rows == {str(videos[0]): "done", str(videos[1]): "empty"}
    assert Store.open(str(store)).count("faces") > 0


def test_speech_for_a_manifest_is_submitted_as_a_job(cluster, model, speakers, photo, tmp_path):
    work, out = tmp_path / "work", tmp_path / "out"
    (work / "configs").mkdir(parents=True)
    shutil.copy(BATCH, work / "configs")
    rows = [{"face": str(photo), "text": text} for text in ("Good morning.", "Good night.")]
    (tmp_path / "jobs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = subprocess.run(
        [
            *(BIN / "ray", "job", "submit", "--address", cluster.dashboard, "--working-dir", work, "--"),
            *("vclip", "generate", "--manifest", tmp_path / "jobs.jsonl", "-k", "1", "--model", model),
            *("--speakers", speakers, "--out", out, "--config", "configs/batch.yaml"),
            *("--set", "generate.candidates=200"),
        ],
        env=cluster.env, capture_output=True, text=True, timeout=JOB_LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [(line["text"], line["state"]) for line in lines] == [("Good morning.", "done"), ("Good night.", "done")]
    assert all(not verify(line["wav"]).problems for line in lines)


def test_a_job_that_cannot_begin_fails_with_its_line(cluster, tmp_path):
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [
            *(BIN / "ray", "job", "submit", "--address", cluster.dashboard, "--working-dir", tmp_path / "work", "--"),
            *("vclip", "ingest", tmp_path / "nowhere", "--store", tmp_path / "store"),
        ],
        env=cluster.env, capture_output=True, text=True, timeout=JOB_LIMIT_S,
    )  # fmt: skip
    assert done.returncode != 0
    assert f"vclip: input {tmp_path / 'nowhere'}: no such file or folder" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "store").exists()
