"""`vclip fit-speakers --record`: the known speakers of a TTS are in the store's table `speakers`."""

import json

import numpy as np

from stores import Store
from tests.support.store_world import FACES, VOICES
from vclip.tts import open_tts


def test_the_known_speakers_of_a_tts_are_recorded_once_and_can_be_queried(tmp_path, vclip):
    uri = Store.create(str(tmp_path / "store"), FACES, VOICES).uri
    for out in ("first", "second"):  # the second run replaces the rows of the first
        done = vclip("fit-speakers", "--tts", "morph", "--record", uri, "--out", tmp_path / out)
        assert done.code == 0, done.err
    found = vclip("query", "--store", uri, "--table", "speakers", "--order", "speaker_id", "--format", "json")
    rows = {row["speaker_id"]: row for row in json.loads(found.out)}
    bank = open_tts("morph").known_speakers(500)
    assert rows.keys() == {f"morph/{name}" for name in bank.speaker_id.tolist()}
    assert {row["space"] for row in rows.values()} == {bank.space}
    for name, vector in zip(bank.speaker_id.tolist(), bank.vectors, strict=True):
        assert np.array_equal(np.float32(rows[f"morph/{name}"]["vector"]), vector)


def test_recording_needs_a_tts(tmp_path, vclip):
    done = vclip("fit-speakers", "--speech", tmp_path, "--record", tmp_path / "store", "--out", tmp_path / "out")
    assert done.code == 2
    assert "found --record without --tts" in done.err
