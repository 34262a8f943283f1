"""Remote files: their bytes arrive whole or the reason does, in bounded time and room."""

import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest

from pipelines.files import buckets, download
from pipelines.files.addresses import FileInfo, is_remote, recorded
from pipelines.files.remote import RemoteConfig, listed, look, read
from pipelines.ingest.sources.content_hash import content_hashes
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.source import Source
from tests.support import ROOT
from tests.support.loopback import BODY, ETAG, bucket_service, web_server
from vclip.errors import InputError

QUICK = RemoteConfig(stall_s=0.5, limit_s=5, retries=2, pause_s=0)


@pytest.fixture(scope="module")
def server():
    with web_server() as server:
        yield server


@pytest.fixture(scope="module")
def service():
    with bucket_service() as found:
        yield found


@pytest.fixture
def bucket(service, monkeypatch):
    """A client of the service, whose environment is ours meanwhile."""
    for name, value in service[0].items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="in-here")
    yield client
    for found in client.list_objects_v2(Bucket="in-here").get("Contents", ()):
        client.delete_object(Bucket="in-here", Key=found["Key"])


def _read(address, config=QUICK, etag=None):
    return b"".join(read(address, config, etag))


@pytest.mark.parametrize("path", ["good.mp4", "moved.mp4", "cut.mp4", "deaf.mp4", "busy.mp4", "nohead.mp4"])
def test_a_page_arrives_whole(server, path):
    server.seen.clear()
    assert look(f"{server.root}/{path}", QUICK) == FileInfo(len(BODY), 1e9, ETAG)
    server.seen.clear()
    assert _read(f"{server.root}/{path}", etag=ETAG) == BODY


def test_a_page_of_unknown_length_and_a_signed_address_arrive_whole(server):
    """What obstore's HTTP store cannot do."""
    assert look(f"{server.root}/chunked.mp4", QUICK) == FileInfo(None, 1e9, ETAG)
    assert _read(f"{server.root}/chunked.mp4", etag=ETAG) == BODY
    server.seen.clear()
    assert _read(f"{server.root}/good.mp4?key=a%2Fb&sig=c+d") == BODY
    assert list(server.seen) == [("GET", "/good.mp4?key=a%2Fb&sig=c+d")]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.mp4", "HTTP 404"),
        ("circle.mp4", "redirect"),
        ("away.mp4", "no address"),
        ("hang.mp4", "connection lost after 0 bytes, tried 3 times"),
        ("short.mp4", f"connection lost after {len(BODY) // 2} bytes, tried"),
        ("fickle.mp4", "has changed since it was listed"),
    ],
)
def test_a_page_that_does_not_is_an_error_in_a_line(server, path, reason):
    server.seen.clear()
    with pytest.raises(OSError, match=reason) as error:
        _read(f"{server.root}/{path}")
    assert "\n" not in str(error.value)


def test_nobody_at_home_is_an_error(server):
    with pytest.raises(OSError, match=r"connection lost after 0 bytes, tried 3 times: .*refused"):
        _read("http://127.0.0.1:9/a.mp4")


def test_a_page_of_another_version_is_not_taken(server):
    with pytest.raises(OSError, match="has changed"):
        _read(f"{server.root}/good.mp4", etag='"older"')


def test_a_file_that_takes_too_long_or_is_too_large_is_given_up(server):
    with pytest.raises(OSError, match=r"took more than remote\.limit_s"):
        _read(f"{server.root}/good.mp4", RemoteConfig(limit_s=1e-6))
    with pytest.raises(OSError, match=r"took more than remote\.limit_s"):
        _read(f"{server.root}/drip.mp4", RemoteConfig(limit_s=0.5))
    with pytest.raises(OSError, match=r"larger than remote\.max_gb"):
        _read(f"{server.root}/good.mp4", RemoteConfig(max_gb=1e-6))


def test_an_object_arrives_whole(bucket):
    key = "videos/May #1/100%41 ü+?&.mp4"
    bucket.put_object(Bucket="in-here", Key=key, Body=BODY)
    seen = look(f"s3://in-here/{key}", QUICK)
    assert seen.size_bytes == len(BODY)
    assert _read(f"s3://in-here/{key}", etag=seen.etag) == BODY
    assert [name for name, _ in listed("s3://in-here/videos", QUICK)] == [f"s3://in-here/{key}"]
    assert b"".join(buckets.read(f"s3://in-here/{key}", 1000, seen.etag, 1.0)[1]) == BODY[1000:]


def test_an_object_that_vanished_or_changed_is_an_error_in_a_line(bucket):
    bucket.put_object(Bucket="in-here", Key="a.mp4", Body=BODY)
    before = look("s3://in-here/a.mp4", QUICK)
    bucket.put_object(Bucket="in-here", Key="a.mp4", Body=BODY[::-1])
    cases = {
        ("s3://in-here/a.mp4", before.etag): "has changed since it was listed",
        ("s3://in-here/b.mp4", None): "no such object",
        ("s3://no-such-bucket/b.mp4", None): "no such object",
    }
    for (address, etag), reason in cases.items():
        with pytest.raises(OSError, match=reason) as error:
            _read(address, etag=etag)
        assert "\n" not in str(error.value)
    with pytest.raises(OSError, match="NoSuchBucket"):
        listed("s3://no-such-bucket/videos", QUICK)


def test_a_truncated_object_is_an_error(server, monkeypatch):
    """A service that always ends early."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.root)
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    server.seen.clear()
    with pytest.raises(OSError, match="connection lost"):
        _read("s3://short/a.mp4", RemoteConfig(stall_s=1, limit_s=5, retries=1, pause_s=0))


def test_a_local_copy_is_there_for_the_block(server, tmp_path):
    with download.local_copy("a b.mp4", QUICK) as path:
        assert path == "a b.mp4"
    config = QUICK.model_copy(update={"folder": str(tmp_path)})
    with download.local_copy(f"{server.root}/good.mp4", config) as path:
        assert (Path(path).read_bytes(), Path(path).suffix) == (BODY, ".mp4")
        assert tmp_path in Path(path).parents
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="404"), download.local_copy(f"{server.root}/missing", config):
        pass
    assert not list(tmp_path.iterdir())


def test_a_file_that_does_not_fit_is_not_even_begun(server, tmp_path):
    server.seen.clear()
    config = QUICK.model_copy(update={"folder": str(tmp_path), "max_gb": 1e12})
    with (
        pytest.raises(OSError, match="do not fit into"),
        download.local_copy(f"{server.root}/good.mp4", config, size_bytes=10**18),
    ):
        pass
    assert not server.seen


KILLED = """
import os, sys
from pipelines.files.download import local_copy
from pipelines.files.remote import RemoteConfig
with local_copy(sys.argv[1], RemoteConfig(folder=sys.argv[2])):
    os.kill(os.getpid(), 9)
"""


def test_what_killed_workers_left_is_removed_and_what_is_in_use_stays(server, tmp_path):
    address = f"{server.root}/good.mp4"
    (tmp_path / "other").mkdir()
    subprocess.run([sys.executable, "-c", KILLED, address, tmp_path], cwd=ROOT, check=False)
    (left,) = set(tmp_path.iterdir()) - {tmp_path / "other"}
    assert (left / "video.mp4").read_bytes() == BODY
    with download.local_copy(address, RemoteConfig(folder=str(tmp_path))) as path:
        assert not left.exists()
        subprocess.run(
            [sys.executable, "-c", KILLED, address, tmp_path], cwd=ROOT, check=False
        )  # which sweeps as well
        assert Path(path).read_bytes() == BODY
    assert (tmp_path / "other").is_dir()


def test_what_cannot_be_read_has_a_reason_and_the_others_go_on(server):
    names = ("missing.mp4", "good.mp4", "hang.mp4")
    sources = [Source((f"{server.root}/{name}",), name, None, None) for name in names]
    began_s = time.monotonic()
    found = list(content_hashes(sources, QUICK))
    assert [bool(failure) for _, failure in found] == [True, False, True]
    assert found[0][1].reason == "cannot be read (HTTP 404 Not Found)"
    assert time.monotonic() - began_s < 30


def test_names_are_recorded_without_what_lets_their_holder_in():
    signed = "https://me:word@host/a.mp4?id=7&X-Amz-Signature=abc&X-Amz-Expires=60"
    assert recorded(signed) == "https://host/a.mp4?id=7"
    assert recorded("https://host/a%20b.mp4?x=1&y=a+b") == "https://host/a%20b.mp4?x=1&y=a+b"
    assert recorded("s3://bucket/a?Signature=x.mp4") == "s3://bucket/a?Signature=x.mp4"
    assert not any(map(is_remote, ("C:/a.mp4", "a://b", "videos/s3:/a.mp4", "file:///a.mp4")))


def test_a_bucket_is_listed_as_a_folder_is(bucket):
    keys = ["v/b.mp4", "v/A/a.MOV", "v/A/deep/c.webm", "v/notes.txt", "v/[x].mp4", "very/z.mp4"]
    for key in keys:
        bucket.put_object(Bucket="in-here", Key=key, Body=key.encode())

    def names(*inputs):
        return [source.uri.removeprefix("s3://in-here/") for source in list_videos(inputs)]

    videos = ["v/A/a.MOV", "v/A/deep/c.webm", "v/[x].mp4", "v/b.mp4"]
    assert names("s3://in-here/v") == names("s3://in-here/v/") == videos
    assert names("s3://in-here") == [*videos, "very/z.mp4"]
    assert names("s3://in-here/v/**/*.webm") == ["v/A/deep/c.webm"]
    assert names("s3://in-here/v/*/*") == ["v/A/a.MOV"]
    assert names("s3://in-here/v/[x].mp4") == ["v/[x].mp4"]
    assert names("s3://in-here/v/*.txt") == ["v/notes.txt"]
    for nothing in ("s3://in-here/nothing", "s3://nowhere-at-all/v", "s3://in-here/v/*.avi"):
        with pytest.raises(InputError, match=nothing.replace("*", r"\*")) as error:
            list_videos([nothing])
        assert "\n" not in str(error.value)


def test_listing_a_bucket_says_all_that_a_resume_needs(bucket, service):
    bucket.put_object(Bucket="in-here", Key="v/a.mp4", Body=b"film")
    before = len(service[1].lines)
    (source,) = list_videos(["s3://in-here/v/"])
    assert (source.size_bytes, bool(source.etag), source.mtime_s > 1e9) == (4, True, True)
    assert len(service[1].lines) == before + 1


def test_a_manifest_may_lie_in_a_bucket(bucket):
    bucket.put_object(Bucket="in-here", Key="set/list.csv", Body=b"file,identity\nv/a.mp4,Ann\n../b.mp4,Bob\n")
    bucket.put_object(Bucket="in-here", Key="set/v/a.mp4", Body=b"a")
    found = {source.uri: (source.labels, source.size_bytes) for source in list_videos(["s3://in-here/set/list.csv"])}
    assert found == {
        "s3://in-here/set/v/a.mp4": ({"identity": "Ann"}, 1),
        "s3://in-here/b.mp4": ({"identity": "Bob"}, None),
    }


def test_a_web_address_that_is_none_is_an_input_error(server):
    for path, said in (("missing.mp4", "HTTP 404"), ("missing.csv", "HTTP 404")):
        with pytest.raises(InputError, match=said) as error:
            list_videos([f"{server.root}/{path}"], config=QUICK)
        assert path in str(error.value)
    with pytest.raises(InputError, match="expected a folder"):
        list_videos(["ftp://host/a.mp4"])


def _answer(*headers, status="200 OK", body=b"film"):
    return f"HTTP/1.1 {status}\r\n".encode() + b"".join(b"%b\r\n" % header for header in headers) + b"\r\n" + body


ODD_ANSWERS = {
    "huge": _answer(b"Content-Length: " + b"9" * 23),
    "larger": _answer(b"Content-Length: 9999999999999999999"),
    "digits": _answer(b"Content-Length: " + b"1" * 5000),
    "superscript": _answer(b"Content-Length: \xb2"),
    "negative": _answer(b"Content-Length: -1"),
    "several": _answer(b"Content-Length: 4, 5"),
    "brackets": _answer(b"Location: http://[x/a", status="302 Found"),
    "compatible": _answer("Location: http://exa\u2100mple.com/x".encode(), status="302 Found"),
    "port": _answer(b"Location: http://127.0.0.1:99999/", status="302 Found"),
    "nowhere": _answer(b"Location: \0", status="302 Found"),
    "other": _answer(b"Location: ftp://x/y", status="302 Found"),
    "date": _answer(b"Content-Length: 4", b"Last-Modified: Mon, 99 Foo 99999 25:61:61 +9999"),
    "tag": _answer(b"Content-Length: 4", b"ETag: \xff\x01\xfe"),
    "status": b"HTTP/1.1 abc\r\n\r\n",
    "nothing": b"\r\n" * 10,
    "noise": bytes(range(256)) * 4,
    "headers": _answer(*(b"X-%d: x" % number for number in range(300))),
    "long": _answer(b"X: " + b"x" * 100_000),
    "chunks": _answer(b"Transfer-Encoding: chunked", body=b"zz\r\nfilm\r\n"),
}
ODD_ADDRESSES = (
    *(
        "http://[x/a.mp4",
        "http://exa\u2100mple.com/x",
        "http://127.0.0.1:99999/a",
        "http://\ud800/a",
        "http://a\0b/c",
    ),
    *("https://", "http:///a", "s3://", "s3:///a", "s3://a\ud800/b", "s3://bucket/\0", "http://" + "b" * 70 + "/a"),
)


def _size(address, config):
    """The size that a server reports; 0 for none. Only an OSError is expected."""
    try:
        return look(address, config).size_bytes or 0
    except OSError:
        return 0


def test_whatever_a_server_answers_is_the_file_or_a_reason(server, service, monkeypatch):
    """No answer and no address ends a job: the file arrives, or one line says why it does not."""
    for name, value in service[0].items():
        monkeypatch.setenv(name, value)
    server.raw = ODD_ANSWERS
    names = [f"{server.root}/{kind}.mp4" for kind in ODD_ANSWERS]
    sources = [Source((name,), f"row {number}", None, None) for number, name in enumerate([*names, *ODD_ADDRESSES])]
    quick = RemoteConfig(stall_s=2, limit_s=5, retries=2, pause_s=0)
    found = list(content_hashes(sources, quick))
    assert len(found) == len(sources)
    for source, failure in found:
        assert failure is None or failure.reason.startswith("cannot be read ("), (source.paths, failure)
        assert failure is None or "\n" not in failure.reason
        assert 0 <= _size(source.paths[0], quick) < 2**63
    failed = {source.paths[0] for source, failure in found if failure}
    assert set(ODD_ADDRESSES) <= failed
    assert {names[list(ODD_ANSWERS).index(kind)] for kind in ("date", "tag")}.isdisjoint(failed)


@pytest.mark.parametrize("ask", [look, _read])
def test_a_header_that_does_not_end_counts_against_the_time_limit(server, ask):
    began_s = time.monotonic()
    with pytest.raises(OSError, match=r"took more than remote\.limit_s = 1"):
        ask(f"{server.root}/endless.mp4", RemoteConfig(stall_s=60, limit_s=1, retries=5))
    assert time.monotonic() - began_s < 20
