"""What was committed is read back, once and whole, whatever happened in between."""

import numpy as np
from store_world import FACE_COLUMN, video


def test_what_is_committed_is_read_back(store):
    given = video(4)
    assert store.commit([given]) == 1
    rows = {
        row["face_id"]: row for row in store.query("faces", [*store.snapshot().schema("faces").names]).to_pylist()
    }
    assert len(rows) == len(given.faces) == 4
    for face in given.faces:
        row = rows[face["face_id"]]
        assert row["image"] == face["image"]
        assert np.array_equal(np.float32(row[FACE_COLUMN]), face["vectors"]["dlib/resnet-v1-128/crop1"])
