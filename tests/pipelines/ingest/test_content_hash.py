"""The hash of contents, read by threads or, on a cluster, by tasks."""

import os

import pytest

from pipelines.cluster.session import start_ray
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.sources import content_hash as module
from pipelines.ingest.sources.content_hash import identify, name_id
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
    reasons = {source.uri[-6:-4]: reason for source, reason in found if reason}
    assert reasons == {"11": "cannot be read (No such file or directory)", "12": "cannot be read (not a file)"}
    for source, reason in found:
        assert source.video_id == (name_id(source) if reason else video_id(source.paths[0]))


def test_threads_read_in_order(sources):
    _check(sources, list(identify(sources, RemoteConfig())))


@pytest.mark.slow
def test_tasks_read_in_order_and_one_that_dies_has_a_reason(sources, monkeypatch):
    import ray

    start_ray()
    monkeypatch.setattr(module, "CHUNK", 4)
    monkeypatch.setattr(module, "FEW", 8)
    monkeypatch.setattr(module, "_by_threads", None)  # in the workers it is there
    _check(sources, list(identify(sources, RemoteConfig())))

    @ray.remote(max_retries=0)
    def dies() -> None:
        os._exit(1)

    ((content, reason),) = module._result(sources[:1], dies.remote())
    assert content == name_id(sources[0])
    assert reason == "cannot be read (the worker died: WorkerCrashedError)"
