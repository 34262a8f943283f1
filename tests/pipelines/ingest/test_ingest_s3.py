"""`vclip ingest` from a bucket into a bucket, on an S3 of our own (moto's)."""

import subprocess
import sys

import boto3
import pytest

from pipelines.config import Config
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.sources.content_hash import content_hashes
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.workers import extract_video
from stores import Store, run_id
from tests.support import ROOT
from tests.support.loopback import bucket_service
from tests.support.vclip_command import OFFLINE, process

TO_BUCKET = ("--store", "s3://out-there/store", "--config", OFFLINE)


@pytest.fixture(scope="module")
def service():
    with bucket_service() as found, pytest.MonkeyPatch.context() as patch:
        for name, value in found[0].items():
            patch.setenv(name, value)
        yield found


@pytest.fixture(scope="module")
def bucket(service):
    client = boto3.client("s3")
    client.create_bucket(Bucket="in-here")
    client.create_bucket(Bucket="out-there")
    return client


@pytest.fixture(scope="module")
def ingested_bucket(bucket, service, sample):
    """Two of the sample's videos and a broken file, ingested."""
    for name in ("000_speaking.mp4", "zz_copy_of_000.mp4", "001_speaking.mp4", "broken/text.mp4"):
        bucket.upload_file(str(sample / name), "in-here", f"videos/{name}")
    answer = process("ingest", "s3://in-here/videos", *TO_BUCKET, env=service[0])
    assert answer.code == 0, answer.err
    return Store.open("s3://out-there/store")


@pytest.mark.slow
def test_rows_carry_the_addresses_and_nothing_is_left_behind(ingested_bucket):
    videos = {row["uris"][0]["uri"]: row for row in ingested_bucket.query("videos").to_pylist()}
    reasons = [row["reason"] for row in videos.values()]
    assert {uri.removeprefix("s3://in-here/videos/"): row["state"] for uri, row in videos.items()} == {
        "000_speaking.mp4": "done",
        "001_speaking.mp4": "done",
        "broken/text.mp4": "failed",
    }, reasons
    names = [uri for row in videos.values() for uri in row["uris"]]
    assert len(names) == 4  # a double is another name
    assert all(name["etag"] and name["size_bytes"] for name in names)
    assert {clip["video_uri"] for clip in ingested_bucket.query("clips").to_pylist()} == {
        f"s3://in-here/videos/00{number}_speaking.mp4" for number in (0, 1)
    }
    broken = videos["s3://in-here/videos/broken/text.mp4"]
    assert "internal error" not in broken["reason"]
    assert "/tmp" not in broken["reason"]
    assert ingested_bucket.count("faces") >= 2
    assert ingested_bucket.count("voices") >= 2


@pytest.mark.slow
def test_a_second_run_reads_no_object_and_writes_nothing(ingested_bucket, service, vclip):
    before, asked = ingested_bucket.version(), len(service[1].lines)
    answer = vclip("ingest", "s3://in-here/videos", *TO_BUCKET)
    assert answer.code == 0, answer.err
    assert "nothing to do" in answer.out
    assert Store.open("s3://out-there/store").version() == before
    new = service[1].lines[asked:]
    assert [path for _, path in new if path.startswith("/in-here/")] == ["/in-here/videos"]  # HEAD: is it an object?
    assert not [line for line in new if line[0] in ("PUT", "POST", "DELETE")]


def test_an_object_that_vanishes_is_a_failed_row_with_a_reason(bucket):
    bucket.put_object(Bucket="in-here", Key="gone/a.mp4", Body=b"film")
    (source,) = list_videos(["s3://in-here/gone"])
    bucket.put_object(Bucket="in-here", Key="gone/a.mp4", Body=b"another film")
    assert extract_video(source, Config()).reason == "cannot be read (has changed since it was listed)"
    bucket.delete_object(Bucket="in-here", Key="gone/a.mp4")
    assert extract_video(source, Config()).reason == "cannot be read (no such object)"
    ((_, failure),) = content_hashes([source], RemoteConfig())
    assert failure is not None
    assert failure.reason == "cannot be read (no such object)"


def test_two_jobs_may_write_to_one_store_in_a_bucket(bucket):
    """Two processes at once, half of their videos in common: none is lost or doubled."""
    faces, voices = {"dlib/resnet-v1-128/crop1": 8}, {"resemblyzer/ge2e-256": 6}  # those of store_writer.py
    store = Store.create("s3://out-there/shared", faces, voices)
    writers = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.support.store_writer",
                store.uri,
                run_id(),
                "a",
                str(first),
                str(first + 16),
            ],
            cwd=ROOT,
        )
        for first in (0, 8)
    ]
    assert [writer.wait(300) for writer in writers] == [0, 0]
    store = Store.open(store.uri)
    for table, key, count in (("videos", "video_id", 24), ("clips", "clip_id", 48), ("faces", "face_id", 96)):
        ids = store.query(table, [key])[key].to_pylist()
        assert len(ids) == len(set(ids)) == count, table
