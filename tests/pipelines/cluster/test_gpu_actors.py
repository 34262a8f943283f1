"""Work on GPUs that Ray is told of and that are not there: who does it, and what is done when one fails or leaves."""

import json
import subprocess
import sys

import pytest

from pipelines.cluster.actors import gpu_actors
from tests.support.vclip_command import ROOT


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """What each job of `gpu_driver` gave, and what it said."""
    command = [sys.executable, "-m", "tests.support.gpu_driver", str(tmp_path_factory.mktemp("marks"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]  # Ray prints as well
    return {row["job"]: row for row in rows}


def _done(job, count):
    """Returns what did each item; each item has come once."""
    assert sorted(item for item, _ in job["done"]) == list(range(count))
    return [result for _, result in job["done"]]


def test_no_more_actors_are_asked_for_than_the_gpus_have_room_for(capsys):
    here = [0]

    def room(asked=0, share=1.0):
        return gpu_actors(lambda: None, 8, asked, share, gpus=lambda: here[0]).count()

    assert [room(), room(share=0.5)] == [0, 0]
    here[0] = 2
    assert [room(), room(share=0.5), room(share=0.3), room(asked=1), room(asked=3, share=0.5)] == [2, 4, 6, 1, 3]
    assert capsys.readouterr().err == ""
    assert room(asked=3) == 2
    assert capsys.readouterr().err.endswith("WARNING 3 actors asked for, but the cluster's GPUs have room for 2\n")


@pytest.mark.slow
def test_an_actor_that_finds_no_gpu_holds_nothing_up(jobs):
    assert {device for _, device, _, _ in _done(jobs["more than there are"], 12)} == {"cuda"}


@pytest.mark.slow
def test_gpus_that_join_late_are_used_and_shared_and_tasks_see_none(jobs):
    done = jobs["late"]["done"]
    assert sorted(item for item, _ in done) == list(range(len(done)))
    assert done[0][1][1:] == ["task", ""]
    processes = {(gpu, process) for _, (_, device, gpu, *process) in done if device == "cuda" for process in process}
    assert sorted(gpu for gpu, _ in processes) == ["0", "0", "1", "1"]


@pytest.mark.slow
def test_where_others_hold_all_gpus_the_tasks_do_the_work_and_the_job_says_so(jobs):
    assert {kind for _, kind, _ in _done(jobs["held"], 12)} == {"task"}
    assert "WARNING no GPU takes work now" in jobs["held"]["said"]


@pytest.mark.slow
def test_the_work_of_a_gpu_that_leaves_goes_to_the_tasks(jobs):
    results = _done(jobs["leave"], len(jobs["leave"]["done"]))
    assert {result[1] for result in results} == {"task", "cuda"}
    assert {result[1] for result in results[-10:]} == {"task"}


@pytest.mark.slow
def test_an_actor_that_dies_or_whose_cuda_context_breaks_is_replaced_and_its_items_are_tried_again(jobs):
    assert {device for _, device, _, _ in _done(jobs["faults"], 12)} == {"cuda"}
    marker, said = "its items are tried again: ", jobs["faults"]["said"].splitlines()
    reasons = sorted(line.partition(marker)[2] for line in said if marker in line)
    assert reasons == ["RuntimeError: CUDA error: an illegal memory access was encountered", "it died"]


@pytest.mark.slow
def test_a_gpu_that_keeps_failing_is_given_no_more_work(jobs):
    assert {gpu for _, _, gpu, _ in _done(jobs["broken"], len(jobs["broken"]["done"]))} == {"0"}
    said = jobs["broken"]["said"].splitlines()
    assert sum("is replaced" in line for line in said) == 3
    assert "WARNING GPU 1 of node" in said[-1]
    assert said[-1].endswith("failed 3 times in a row and is given no more work")


@pytest.mark.slow
def test_an_actor_that_lacks_an_encoder_is_one_line(jobs):
    assert jobs["lacks"]["done"] == {"error": "face encoder 'arcface': no weights"}


@pytest.mark.slow
def test_parts_of_long_items_go_through_the_actors_in_order_also_where_a_worker_dies_between_them(jobs):
    done = dict(jobs["parts"]["done"])
    assert done[0] == []
    for item in (1, 5):
        assert [part for part, *_ in done[item]] == [[item, number] for number in range(item)]
    assert done[9]["failure"].startswith("internal error: ValueError: seven")
