"""The hash of contents, read by threads or, on a cluster, by tasks."""

import os

import pytest

from pipelines.cluster.session import start_ray
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.sources.content_hash import content_hashes, name_id
from pipelines.ingest.sources.listing import list_videos
from stores import video_id


@pytest.fixture
def sources(tmp_path):
    """Thirty files, of which one has vanished and one is a pipe by now."""
    for number in range(30):
        (tmp_path / f"{number:02d}.mp4").write_text(f"film {number % 7}")
    sources = list(list_videos([tmp_path]))
    (tmp_path / "11.mp4").unlink()
    (tmp_path / "12.mp4").unlink()
    os.mkfifo(tmp_path / "12.mp4")
    return sources


def _check(sources, found):
    assert [source.uri for source, _ in found] == [source.uri for source in sources]
    reasons = {source.uri[-6:-4]: failure.reason for source, failure in found if failure}
    assert reasons == {"11": "cannot be read (No such file or directory)", "12": "cannot be read (not a file)"}
    for source, failure in found:
        assert source.video_id == (name_id(source) if failure else video_id(source.paths[0]))


def test_threads_read_in_order(sources):
    _check(sources, list(content_hashes(sources, RemoteConfig())))


@pytest.mark.slow
def test_tasks_read_in_order_and_ask_for_the_clusters_size(sources):
    start_ray()
    asked = []
    found = list(content_hashes(sources, RemoteConfig(), chunk=4, cpus=lambda: asked.append(1) or 2.0))
    assert asked, "the threads of this process have read them"
    _check(sources, found)
