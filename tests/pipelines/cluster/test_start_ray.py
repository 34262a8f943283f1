"""A Ray that cannot start says why, in one error and within seconds."""

import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ray.util import get_node_ip_address

from pipelines.cluster.session import check_address
from vclip.errors import InputError

START = """
from pipelines.cluster.session import start_ray
from vclip.errors import InputError
try:
    start_ray()
except InputError as error:
    print("InputError", error)
"""


def _started(**environment):
    """Returns what a fresh process prints that starts Ray, and the seconds that it took."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | environment
    start_s = time.monotonic()
    done = subprocess.run([sys.executable, "-c", START], env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout, time.monotonic() - start_s


def test_a_cluster_that_does_not_answer_is_named_within_seconds():
    with socket.socket() as closed, ThreadPoolExecutor() as both:
        closed.bind(("127.0.0.1", 0))  # so that nobody else listens there, but not listening
        addresses = [f"{scheme}127.0.0.1:{closed.getsockname()[1]}" for scheme in ("", "ray://")]
        answers = list(both.map(lambda address: _started(RAY_ADDRESS=address), addresses))
    for address, (printed, took_s) in zip(addresses, answers, strict=True):
        assert printed.startswith(f"InputError RAY_ADDRESS={address}: nothing answers there (Connection refused)")
        # 5 s of trying and the imports; Ray itself takes more than two minutes.
        assert took_s < 40


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_loopback_address_is_looked_for_where_ray_does(host):
    """Ray takes it as the machine's own address, and a head may listen on that alone."""
    own = get_node_ip_address()
    with socket.socket() as head:
        head.bind((own, 0))
        head.listen()
        check_address(f"{host}:{head.getsockname()[1]}", reach_s=1)
        if not own.startswith("127."):  # a Ray client is sent to loopback itself
            with pytest.raises(InputError, match="nothing answers there"):
                check_address(f"ray://{host}:{head.getsockname()[1]}", reach_s=0)


HEAD = """
import sys
from ray.cluster_utils import Cluster
node = {"num_cpus": 1, "object_store_memory": 100_000_000, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
cluster = Cluster(initialize_head=True, head_node_args=node)
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
JOIN = "from pipelines.cluster.session import cluster_cpus, start_ray; start_ray(2); print(cluster_cpus())"


def joined(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Starts Ray in a process of its own, which prints the cluster's CPUs."""
    return subprocess.run([sys.executable, "-c", JOIN], env=env, capture_output=True, text=True, timeout=100)


def test_a_head_that_listens_on_loopback_alone_is_joined():
    """As one does that was started beside a local cluster; Ray would look for it at the machine's own address."""
    env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(
        [sys.executable, "-c", HEAD], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as head:
        try:
            address = head.stdout.readline().strip()
            assert address.startswith("127.0.0.1:")
            done = joined(env | {"RAY_ADDRESS": address})
            assert done.stdout.strip() == "1.0", done.stderr
        finally:
            head.stdin.close()
            head.wait(30)


def test_the_record_of_a_cluster_that_is_gone_is_passed_over():
    """As a machine leaves it that went down while a cluster ran; Ray would try for minutes to join that cluster."""
    with socket.create_server(("127.0.0.1", 0)) as head:
        port = head.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="vr", dir="/tmp") as folder:
        (Path(folder) / "ray").mkdir()
        (Path(folder) / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{port}")
        done = joined({n: v for n, v in os.environ.items() if n != "RAY_ADDRESS"} | {"RAY_TMPDIR": folder})
    assert done.stdout.strip() == "2.0", done.stderr


@pytest.mark.parametrize("address", ["auto", "local", "somewhere", "anyscale://workspace"])
def test_what_ray_resolves_itself_is_left_to_ray(address):
    """Nothing is looked up or connected to: the process may not use the network at all."""
    lines = (
        "import sys",
        "from pipelines.cluster.session import check_address",
        "used = []",
        "sys.addaudithook(lambda event, _: used.append(event) if event.startswith('socket.') else None)",
        f"check_address({address!r})",
        "print(used)",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://127.0.0.1:8265", "found the address of a dashboard, expected the cluster's host:port"),
        ("ray://head", "found no port, expected ray://host:port"),
        ("head:no", "Port could not be cast"),
        ("[::1:6379", "Invalid IPv6 URL; expected host:port"),
    ],
)
def test_an_address_of_no_cluster_is_refused_with_its_reason(address, message):
    with pytest.raises(InputError, match=f"^RAY_ADDRESS={re.escape(address)}: {message}"):
        check_address(address)


def test_an_address_without_a_port_that_can_be_is_refused():
    assert _started(RAY_ADDRESS="head:no")[0].startswith("InputError RAY_ADDRESS=head:no: Port could not be cast")


def test_a_local_start_that_fails_is_told_with_rays_reason(tmp_path):
    (tmp_path / "file").touch()
    printed, _ = _started(RAY_TMPDIR=str(tmp_path / "file" / "ray"))
    assert printed.startswith("InputError Ray: cannot start here (NotADirectoryError: ")
    assert str(tmp_path / "file") in printed
    assert "Traceback" not in printed
    too_long = tmp_path / ("x" * 100)
    assert "path length cannot exceed 107 bytes" in _started(RAY_TMPDIR=str(too_long))[0]


FORKED = f"""
import os, warnings
import lance, lancedb
{START}
with warnings.catch_warnings(record=True) as warned:
    if not os.fork():
        os._exit(0)
print([str(warning.message) for warning in warned])
"""


def test_the_forks_of_ray_warn_of_nothing(tmp_path):
    (tmp_path / "file").touch()
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {"RAY_TMPDIR": str(tmp_path / "file" / "ray")}  # ends the start early
    done = subprocess.run([sys.executable, "-c", FORKED], env=env, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "[]"), done.stderr


LISTENERS = """
import json, sys
if sys.argv[1] == "ray imported before": import ray
import psutil
from pipelines.cluster.session import start_ray
start_ray(1)
import ray
assert ray.get(ray.remote(lambda: 3).remote()) == 3
tree = [psutil.Process(), *psutil.Process().children(recursive=True)]
found = {p.name(): [c.laddr.ip for c in p.net_connections("inet") if c.status == "LISTEN"] for p in tree}
import os, signal, time
print(json.dumps({"listeners": found, "auth": os.environ["RAY_AUTH_MODE"]}))
try:
    os.kill(os.getpid(), signal.SIGTERM)
    ray.get(ray.remote(lambda: time.sleep(60)).remote())
finally:
    print("and what is to be left in order")
"""


@pytest.fixture(scope="module", params=["ray imported before", "ray imported by us"])
def local_cluster(request):
    """A process that starts a cluster, says where its servers listen, and is asked to end."""
    folder = tempfile.mkdtemp(prefix="vr", dir="/tmp")  # its sockets' paths are limited
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {"RAY_TMPDIR": folder}
    command = [sys.executable, "-c", LISTENERS, request.param]
    yield subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_job_that_is_asked_to_end_leaves_its_things_in_order(local_cluster):
    assert local_cluster.returncode == 128 + signal.SIGTERM
    assert local_cluster.stdout.splitlines()[1:] == ["and what is to be left in order"]
    assert local_cluster.stderr == ""


def test_the_servers_of_a_local_cluster_listen_on_loopback_and_want_a_token(local_cluster):
    found = json.loads(local_cluster.stdout.splitlines()[0])
    assert found["auth"] == "token"
    assert found["listeners"]["gcs_server"]
    assert found["listeners"]["raylet"]
    addresses = {address.removeprefix("::ffff:") for some in found["listeners"].values() for address in some}
    assert all(ipaddress.ip_address(address).is_loopback for address in addresses), found["listeners"]


def test_the_declared_minimum_of_ray_has_tokens_by_default():
    """Ray 2.59.0 was the first whose local clusters want a token (ray-project/ray#64755)."""
    (least,) = [
        re.findall(r">=([0-9.]+)", line)[0]
        for line in (Path(__file__).parents[3] / "pyproject.toml").read_text().splitlines()
        if line.strip().startswith('"ray[')
    ]
    assert tuple(map(int, least.split("."))) >= (2, 59)
