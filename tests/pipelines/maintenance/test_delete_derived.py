"""What the toolkit made from a person's data beside the store and elsewhere goes with a deletion, or is listed."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipelines.cluster.derived import derived_files, record_derived
from pipelines.config import Config
from pipelines.extraction.types import KEPT, Candidate, Extraction
from pipelines.ingest.job import Summary
from pipelines.ingest.report import RunReport, report_folder
from pipelines.maintenance.delete import delete
from stores import Store, video_id
from stores.maintenance.delete import delete as delete_rows
from stores.maintenance.delete import is_deletion_unfinished
from stores.maintenance.deletion_plan import plan_deletion
from stores.runs import running
from tests.support.dying import Dying, Killed
from tests.support.store_world import FACES, RUN, VOICES, video
from tests.support.vclip_command import OFFLINE
from vclip.marking.provenance import write_speech
from vclip.tts.wav import StreamedSpeech

PERSON = "somebody in particular"


def _jpeg(seed: int) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 255, (12, 12, 3), np.uint8)
    return cv2.imencode(".jpg", cv2.resize(noise, (96, 96), interpolation=cv2.INTER_NEAREST))[1].tobytes()


def _video(number: int, name: str, uri: str, state: str = "done"):
    rows = video(number, clips=2 if state == "done" else 0)
    clips = [clip | {"identity": name, "video_uri": uri} for clip in rows.clips]
    faces = [face | {"image": _jpeg(100 * number + i)} for i, face in enumerate(rows.faces)]
    reason = "" if state == "done" else f"no speech in {uri}"
    row = rows.video | {"uris": [{"uri": uri}], "state": state, "reason": reason}
    return replace(rows, video=row, clips=clips, faces=faces)


@pytest.fixture
def films(tmp_path) -> Path:
    folder = tmp_path / "films & photos"
    folder.mkdir()
    (folder / "theirs.jpg").write_bytes(_jpeg(1))
    (folder / "theirs.ogg").write_bytes(b"OggS")
    return folder


@pytest.fixture
def store(tmp_path, films) -> Store:
    """A store of two people: one from a photo and audio and from two videos, of which one is empty; and a report."""
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    batch = [
        _video(1, PERSON, f"{films}/theirs.jpg + {films}/theirs.ogg"),
        _video(2, PERSON, f"{films}/theirs 2.mp4"),
        _video(3, "another", f"{films}/other.mp4"),
        _video(4, PERSON, f"{films}/theirs 4.mp4", "empty"),
    ]
    report = RunReport(Config())
    with store.run({"job": "ingest", "inputs": [str(films / "theirs 2.mp4")]}, {}) as run:
        batch = [replace(rows, video=rows.video | {"run_id": run.run_id}) for rows in batch]
        store.commit(batch)
    for rows in batch:
        seen = (Candidate(0, 2, (0, 0, 1, 1), 0, 0.25, outcome, _jpeg(7)) for outcome in (KEPT, "small"))
        report.add(rows, Extraction("done", "", 10.0, (), {}, tuple(seen), {"decode": 1.0}))
    report.failed.add({"uri": str(films / "theirs 2.mp4"), "reason": "no audio"})
    report.write(report_folder(store.uri, run.run_id), Summary(store.uri, run.run_id, config=Config().model_dump()))
    errors = report_folder(store.uri, run.run_id) / "errors"
    errors.mkdir()
    (errors / "1.txt").write_text(f"{films}/theirs 2.mp4\nIndexError\n")
    return store


def _speech(folder: Path, name: str, provenance: dict) -> str:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.wav").write_bytes(b"RIFF")
    (folder / f"{name}.json").write_text(json.dumps(provenance))
    return str(folder / f"{name}.wav")


def _generation(name: str, face: str, wav: str, photos: list[str] | None) -> dict:
    made = {"run_id": RUN, "text": "Hello.", "tts": "morph", "space": "s", "speaker_vector": [0.5]}
    models = {} if photos is None else {"photos": photos}
    return made | {"generation_id": name, "face": face, "audio_uri": wav, "models": models}


def _beside(store: Store) -> str:
    folder = Path(f"{store.uri}.runs")
    texts = [path.read_text() for path in sorted(folder.rglob("*")) if path.is_file() and "derived" not in path.parts]
    return "\n".join(texts)


def _delete(store: Store, **given):
    return delete(store.uri, people=[PERSON], videos=["video0004"], **given)


def test_reports_beside_the_store_lose_names_and_images_and_keep_their_figures(store, films):
    before = _beside(store)
    assert before.count("theirs") > 5
    assert "data:image/jpeg" in before
    planned = _delete(store)
    assert _beside(store) == before
    assert [Path(file).name for file in planned.reports] == ["1.txt", "report.html", "summary.json"]
    done = _delete(store, carry_out=True)
    assert done.reports == planned.reports
    after = _beside(store)
    assert "theirs" not in after
    assert "data:image" not in after
    assert "Outcomes of the candidates" in after
    assert str(films / "other.mp4") in after
    faces = [_jpeg(100 * number + i) for number in (1, 2) for i in range(4)]
    images = [
        base64.b64encode(cv2.imencode(".jpg", cv2.imdecode(np.frombuffer(face, np.uint8), 1))[1]) for face in faces
    ]
    assert not any(image.decode()[:60] in after for image in images)
    summary = json.loads(next(Path(f"{store.uri}.runs").rglob("summary.json")).read_text())
    assert summary["videos_through"]["inputs"] == 4
    assert any(place.startswith("3 files in ") for place in done.searched)


def test_speech_from_the_imported_photo_is_found_by_content_in_every_folder(store, films, tmp_path):
    photo = hashlib.sha256((films / "theirs.jpg").read_bytes()).hexdigest()
    copy = {"face": "a copy under another name.jpg", "face_sha256": photo, "face_index": 0}
    first = _speech(tmp_path / "one", "a", copy)
    second = _speech(tmp_path / "two", "a", copy)
    old = _speech(tmp_path / "old", "b", copy)
    several = _speech(tmp_path / "old", "c", {"face": "x.jpg, y.jpg", "photos": [copy | {"face_sha256": "1"}, copy]})
    other = _speech(tmp_path / "one", "d", {"face": "other.jpg", "face_sha256": "2"})
    lost = str(tmp_path / "gone" / "e.wav")
    elsewhere = _speech(tmp_path / "untold", "f", copy)
    store.add_generations(
        [
            _generation("a-1", "a copy under another name.jpg", first, [photo]),
            _generation("a-2", "a copy under another name.jpg", second, [photo]),
            _generation("b", "a copy under another name.jpg", old, None),
            _generation("c", "x.jpg, y.jpg", several, None),
            _generation("d", "other.jpg", other, ["2"]),
            _generation("e", f"{films.name}/theirs.jpg", lost, None),
        ]
    )
    done = _delete(store, generated=[str(tmp_path / "untold")], carry_out=True)
    speech = {file for file in done.files if file.endswith(".wav")}
    assert speech == {first, second, old, several, lost, elsewhere}
    assert store.query("generations", ["generation_id"])["generation_id"].to_pylist() == ["d"]
    assert Path(first).exists()
    assert done.photos_gone == []


def test_speech_from_an_imported_photo_that_is_there_no_more_is_found_by_its_content(tmp_path):
    photo, audio = tmp_path / "theirs.jpg", tmp_path / "theirs.ogg"
    photo.write_bytes(_jpeg(1))
    audio.write_bytes(b"OggS")
    uri = f"{photo} + {audio}"
    rows = _video(1, PERSON, uri)
    pair = "-".join(video_id(file) for file in (photo, audio))  # as an import names it
    store = Store.create(str(tmp_path / "store"), FACES, VOICES)
    store.commit([replace(rows, video=rows.video | {"video_id": pair})])
    copy = {"face": "copy.jpg", "face_sha256": "1", "face_content_hash": video_id(photo), "face_index": 0}
    long = "x" * 251  # its sidecar has a shorter name
    made = [
        write_speech(tmp_path / "speech" / f"{n}.wav", StreamedSpeech([np.ones(99)], 16000), copy)
        for n in ("a", long)
    ]
    kept = write_speech(
        tmp_path / "speech" / "kept.wav", StreamedSpeech([np.ones(99)], 16000), {**copy, "face_content_hash": "2"}
    )
    store.add_generations([_generation("a-1", "copy.jpg", str(made[0][0]), ["1", video_id(photo)])])
    photo.unlink()
    done = delete(store.uri, people=[PERSON], generated=[str(tmp_path / "speech")], carry_out=True)
    assert set(done.files) == {str(file) for files in made for file in files}
    assert not set(map(str, kept)) & set(done.files)
    assert not store.query("generations").num_rows
    assert done.photos_gone == [str(photo)]


def test_a_photo_that_is_there_no_more_is_told(store, films):
    (films / "theirs.jpg").unlink()
    assert _delete(store).photos_gone == [str(films / "theirs.jpg")]


def test_what_was_made_elsewhere_is_listed_until_it_is_gone(store, tmp_path, vclip):
    for job, out in (("stats", "stats.html"), ("card", "card"), ("export", "export")):
        given = ("--format", "csv") if job == "export" else ()
        assert vclip(job, "--store", store.uri, "--out", tmp_path / out, *given).code == 0
    made = {(one.job, one.path) for one in derived_files(store.uri)}
    expected = {
        (job, str(tmp_path / out)) for job, out in (("stats", "stats.html"), ("card", "card"), ("export", "export"))
    }
    assert made == expected
    (tmp_path / "stats.html").unlink()
    answer = vclip("delete", "--store", store.uri, "--person", PERSON, "--yes")
    assert answer.code == 0
    lines = re.sub(r"\s+", " ", answer.out)
    assert f"made from this store, not searched: {tmp_path / 'export'}" in lines
    assert "stats.html" not in lines
    assert "nothing is left" not in lines
    assert "not searched: copies and backups of the store" in lines
    assert "of the store's files" in lines


def test_browse_and_ingest_that_start_meanwhile_say_so_in_one_line(store, films, tmp_path, vclip):
    told = {}
    spaces = {"mirrored/dlib/resnet-v1-128/crop1": 128}, {"resemblyzer/ge2e-256": 256}
    empty = Store.create(str(tmp_path / "empty"), *spaces)
    with running(empty.db, {"job": "delete"}, {}):
        told["ingest"] = vclip("ingest", films / "theirs.jpg", "--store", empty.uri, "--config", OFFLINE)

    def start(plan) -> None:
        told["browse"] = vclip("browse", "--store", store.uri, "--port", 0)
        clip = store.query("clips", ["clip_id"])["clip_id"][0].as_py()
        told["edit"] = vclip("edit", "reject", clip, "--store", store.uri, "--why", "blurred")
        told["tag"] = vclip("tag", "add", "now", "--store", store.uri)

    delete_rows(store, plan_deletion(store, people=[PERSON]), beside=start)
    for job, answer in told.items():
        assert answer.code == 2, (job, answer)
        (line,) = [line for line in answer.err.splitlines() if "deletion" in line]
        assert "a deletion is running in this store" in line, job
        assert "Traceback" not in answer.err


def test_a_store_without_a_place_beside_it_goes_on(tmp_path, capsys):
    record_derived("memory://", "stats", tmp_path / "a.html")
    record_derived(None, "stats", tmp_path / "a.html")
    (tmp_path / "store.runs").write_text("a file is in the way")
    record_derived(str(tmp_path / "store"), "stats", tmp_path / "a.html")
    assert "a deletion from" in capsys.readouterr().err


@pytest.mark.parametrize("rewritten", range(3))
def test_killed_while_the_reports_are_rewritten_and_run_again(store, tmp_path, vclip, rewritten):
    speech = _speech(tmp_path / "one", "a", {})
    face = store.query("faces", ["face_id"], "video_id = 'video0001'", limit=1)["face_id"][0].as_py()
    store.add_generations([_generation("generation-a", f"store#{face}", speech, None)])
    with Dying(after=("os.replace", rewritten)), pytest.raises(Killed):
        _delete(store, carry_out=True)
    assert "theirs" in _beside(store)
    answer = vclip("check", "--store", store.uri, "--no-media")
    assert answer.code == 1
    assert "run `vclip delete --store STORE --yes`" in re.sub(r"\s+", " ", answer.out)
    done = delete(store.uri, carry_out=True)
    assert done.unfinished
    assert done.found_after == {}
    assert "theirs" not in _beside(store)
    assert "data:image" not in _beside(store)
    assert speech in done.files
    assert not is_deletion_unfinished(Store.open(store.uri))
