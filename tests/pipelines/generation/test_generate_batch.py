"""`vclip generate --manifest`: rows that can and cannot be spoken, a second run, a killed one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
import soundfile

from pipelines.config import Config
from pipelines.generation.batch import generate_batch
from stores import Store
from tests.support import ROOT
from tests.support.generation_world import asked, beeper
from tests.support.signed import signed_manifest, source_of
from tests.support.small_world import no_face
from tests.support.vclip_command import tree
from vclip.config import load
from vclip.marking.verify import verify

pytestmark = pytest.mark.slow
LIMIT_S = 300


@pytest.fixture(scope="module")
def desk(tmp_path_factory, photo, two_faces):
    """Photos, some of which cannot be used."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "ann.jpg").write_bytes(photo.read_bytes())
    (folder / "copy.jpg").write_bytes(photo.read_bytes())
    (folder / "two.png").write_bytes(two_faces.read_bytes())
    cv2.imwrite(str(folder / "nobody.png"), no_face())
    (folder / "text.jpg").write_text("no picture")
    return folder


@pytest.fixture
def run(model, speakers, tmp_path):
    """Speaks a manifest by the TTS of `generation_world`, in a Ray that is shared; returns the summary."""
    import ray.cloudpickle

    from tests.support import generation_world

    ray.cloudpickle.register_pickle_by_value(generation_world)

    def run(manifest, out="out", store=None, *overrides):
        config = load(Config, None, ["generate.candidates=200", *overrides])
        tts = beeper(tmp_path / "journal")
        return generate_batch(
            str(manifest), model, speakers, str(tmp_path / out), config, voices=1, store_uri=store, open_tts=tts
        )

    yield run
    ray.cloudpickle.unregister_pickle_by_value(generation_world)


def _manifest(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _results(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_every_row_is_done_or_says_why_not(desk, run, ingested, tmp_path):
    store = tmp_path / "store"
    subprocess.run(["cp", "-r", ingested.store, store], check=True)
    known = Store.open(str(store)).query("faces", ["face_id"], limit=1)["face_id"][0].as_py()
    rows = [
        {"face": "ann.jpg", "text": "Hello there.", "voices": 2, "id": "a"},
        {"face": "copy.jpg", "text": "Hello there."},  # the same face and text, so the same file
        {"face": "ann.jpg", "text": "Hello there.", "seed": 5},
        {"face": "two.png", "text": "Good night.", "face_index": 0},
        {"face": "two.png", "text": "Good night.", "face_index": 1},
        {"face_id": known, "text": "Good night."},
        {"face": "missing.jpg", "text": "Good night."},
        {"face": "nobody.png", "text": "Good night."},
        {"face": "text.jpg", "text": "Good night."},
        {"face": "two.png", "text": "Good night.", "face_index": 2},
        {"face_id": "nobody's", "text": "Good night."},
        {"face": "ann.jpg", "text": ""},
        {"face": "ann.jpg", "text": "Good night.", "voices": 201},
        {"face": "ann.jpg", "text": "refuses this"},
        {"face": "ann.jpg", "text": "raises this"},
        {"face": "ann.jpg", "text": "Hello there.", "language": "fi-FI"},
        {"face": "ann.jpg", "text": "Hello there.", "language": "finnish"},
        {"face": "ann.jpg", "text": "Hello there.", "voices": 2, "language": "en-GB"},  # the file of the first row
    ]
    summary = run(_manifest(desk / "jobs.jsonl", rows), store=str(store))
    lines = _results(tmp_path / "out")
    by_row = {number: [line for line in lines if line["row"] == number] for number in range(1, len(rows) + 1)}
    assert [len(by_row[number]) for number in by_row] == [2] + 16 * [1] + [2]
    assert {line["id"] for line in by_row[1]} == {"a"}
    reasons = (
        *("No such file", "no face", "not an image", "face 2", "no such face"),
        *("empty text", "201 voices", "nothing to speak", "IndexError"),
        *("language 'fi': beeper speaks en; use", "language 'finnish': expected a tag"),
    )
    for number, reason in enumerate(reasons, start=7):
        (line,) = by_row[number]
        assert line["state"] == "failed"
        assert reason in line["reason"], line
    done = [line for line in lines if line["state"] == "done"]
    assert {line["row"] for line in done} == {1, 2, 3, 4, 5, 6, 18}
    assert by_row[2][0]["wav"] == by_row[1][0]["wav"]
    assert [(line["wav"], line["language"]) for line in by_row[18]] == [(line["wav"], "en") for line in by_row[1]]
    assert len({line["wav"] for line in done}) == len(done) - 3
    assert dict(summary.states) == {"done": 7, "failed": 11}
    assert (summary.faces, summary.spoken, summary.already_there) == (4, 6, 0)
    assert len(asked(tmp_path / "journal")) == summary.spoken + 2
    for line in done:
        found = verify(line["wav"])
        assert not found.problems
        assert source_of(signed_manifest(Path(line["wav"]).read_bytes())) == "trainedAlgorithmicMedia"
        assert found.provenance["generation_id"] == line["generation_id"]
        assert soundfile.info(line["wav"]).duration == pytest.approx(line["seconds"], abs=0.01)
    opened = Store.open(str(store))
    rows = {row["audio_uri"]: row for row in opened.query("generations").to_pylist()}
    assert {wav: row["generation_id"].partition("-")[0] for wav, row in rows.items()} == {
        line["wav"]: line["generation_id"] for line in done
    }
    assert rows[by_row[6][0]["wav"]]["face"] == f"{store}#{known}"
    assert {wav: row["language"] for wav, row in rows.items()} == {line["wav"]: line["language"] for line in done}
    (of_run,) = set(row["run_id"] for row in rows.values())
    assert of_run in opened.query("runs", ["run_id"])["run_id"].to_pylist()


def test_the_voices_are_those_that_one_photo_gets(desk, run, vclip, model, speakers, tmp_path):
    run(_manifest(desk / "one.jsonl", [{"face": "ann.jpg", "text": "Hello there.", "voices": 3}]))
    told = _results(tmp_path / "out")
    options = ("--model", model, "--speakers", speakers, "--set", "generate.candidates=200", "--json")
    said = vclip(
        "generate", "--face", desk / "ann.jpg", "--text", "Hello there.", *options, "--out", tmp_path / "single"
    )
    single = json.loads(said.out)["files"]
    assert [line["score"] for line in told] == pytest.approx([row["score"] for row in single], abs=1e-5)
    assert [line["generation_id"] for line in told] == [row["generation_id"] for row in single]


def test_a_second_run_speaks_what_is_new_and_writes_nothing_twice(desk, run, ingested, tmp_path):
    rows = [{"face": "ann.jpg", "text": f"Text {n}."} for n in range(4)]
    run(_manifest(desk / "first.jsonl", rows))
    before = tree(tmp_path / "out" / "speech")
    again = run(desk / "first.jsonl")
    assert (again.spoken, again.already_there) == (0, 4)
    assert tree(tmp_path / "out" / "speech") == before
    more = run(_manifest(desk / "second.jsonl", [*rows, {"face": "two.png", "text": "Text 0."}]))
    assert (more.spoken, more.already_there) == (1, 4)
    assert len(asked(tmp_path / "journal")) == 5
    # What another configuration has made does not pass for this one's.
    changed = run(desk / "first.jsonl", "out", None, "generate.known_similarity=0.999")
    assert changed.already_there == 0
    # Nor does what has other marks.
    marked = ("generate.known_similarity=0.999", "marks.announce=true")
    assert [run(desk / "first.jsonl", "out", None, *marked).already_there for _ in range(2)] == [0, 4]
    spoken = asked(tmp_path / "journal")[-8:]  # the announcement before each of the four texts
    assert sum("This is a synthetic voice." in line for line in spoken) == 4
    assert run(desk / "first.jsonl", "out", None, marked[0], "marks.signature=none").already_there == 0
    assert run(desk / "first.jsonl", "out", None, marked[0]).already_there == 0
    # A store that comes later gets all of it.
    store = tmp_path / "store"
    subprocess.run(["cp", "-r", ingested.store, store], check=True)
    late = run(desk / "first.jsonl", "out", str(store), "generate.known_similarity=0.999")
    assert (late.spoken, Store.open(str(store)).count("generations")) == (0, 4)


def test_a_killed_run_goes_on_where_it_stopped(desk, model, speakers, tmp_path):
    rows = [{"face": face, "text": f"Text number {n}."} for n in range(12) for face in ("ann.jpg", "two.png")]
    manifest, out, journal = _manifest(desk / "killed.jsonl", rows), tmp_path / "out", tmp_path / "journal"
    command = [sys.executable, "-m", "tests.support.generate_driver", manifest, model, speakers, out, journal, "0.2"]
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(tmp_path / "log", "w") as log:
        driver = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            limit_s = time.monotonic() + LIMIT_S
            while len(list(out.rglob("*.wav"))) < 8:
                assert driver.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < limit_s
                time.sleep(0.02)
        finally:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
    assert not (out / "results.jsonl").exists()
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    lines = _results(out)
    assert [line["row"] for line in lines] == list(range(1, 25))
    assert {line["state"] for line in lines} == {"done"}
    assert len({line["wav"] for line in lines}) == 24
    files = {str(path) for path in out.rglob("*") if path.is_file()}
    wavs = {line["wav"] for line in lines}
    assert files == wavs | {wav.replace(".wav", ".json") for wav in wavs} | {str(out / "results.jsonl")}
    assert not any(verify(wav).problems for wav in wavs)
    # Only what was being spoken at the kill is spoken twice: one utterance on each CPU.
    assert 24 <= len(asked(journal)) <= 24 + (os.cpu_count() or 1)
