import pyarrow as pa

from stores.best import best_of_each


def test_the_best_face_has_the_highest_quality_and_then_the_least_id():
    rows = [("a", "3", 0.5), ("a", "2", 0.9), ("b", "6", 0.1), ("a", "1", 0.9), ("b", "5", None), ("c", "7", None)]
    names = ["clip_id", "face_id", "quality"]
    faces = pa.table([pa.array(column) for column in zip(*rows, strict=True)], names)
    best = best_of_each(faces, "faces")
    assert {row["clip_id"]: row["face_id"] for row in best.to_pylist()} == {"a": "1", "b": "6", "c": "7"}
    assert len(best) == 3
    assert best_of_each(pa.concat_tables([faces[3:], faces[:3]]), "faces").sort_by("clip_id") == best.sort_by(
        "clip_id"
    )


def test_the_longest_speech_is_the_best_wherever_it_starts():
    columns = {"clip_id": ["a", "a", "b"], "voice_id": ["1", "2", "3"], "start_s": [0.0, 5.0, 9.0]}
    voices = pa.table({**columns, "end_s": [2.0, 7.5, 10.0]})
    best = best_of_each(voices, "voices").to_pylist()
    assert {row["clip_id"]: row["voice_id"] for row in best} == {"a": "2", "b": "3"}


def test_of_no_rows_there_is_no_best():
    none = pa.schema([("clip_id", pa.string()), ("face_id", pa.string()), ("quality", pa.float32())]).empty_table()
    assert len(best_of_each(none, "faces")) == 0
