"""SQL over a store: what it sees is what `Snapshot.query` gives, and it can do nothing but read."""

import pytest

from pipelines.analysis.query import plain_rows, sql_rows
from stores.schema import TABLES
from vclip.errors import InputError


def ask(store, sql):
    with sql_rows(store.snapshot(), sql, batch_rows=7) as reader:
        return reader.read_all().to_pylist()


@pytest.mark.parametrize("table", [name for name in TABLES if name != "runs"])
def test_a_view_is_the_visible_rows_without_media(world, table):
    expected = world.query(table).to_pylist()
    key = next(iter(expected[0])) if expected else None
    found = ask(world, f"SELECT * FROM {table}")
    assert sorted(found, key=lambda row: row[key]) == sorted(expected, key=lambda row: row[key])


def test_rows_of_a_crashed_commit_are_there_and_not_seen(world):
    snapshot = world.snapshot()
    assert snapshot.dataset("clips").count_rows() == len(ask(world, "SELECT 1 FROM clips")) + 2
    assert ask(world, "SELECT count(*) AS n FROM clips WHERE video_id = 'video0950'") == [{"n": 0}]
    assert ask(world, "SELECT count(*) AS n FROM voices_media WHERE video_id = 'video0950'") == [{"n": 0}]


def test_media_are_in_views_of_their_own(world):
    expected = {row["face_id"]: row["image"] for row in world.query("faces", ["face_id", "image"]).to_pylist()}
    found = ask(world, "SELECT face_id, image FROM faces_media")
    assert {row["face_id"]: row["image"] for row in found} == expected


def test_joins_and_aggregates_are_those_of_a_loop(world):
    sql = """SELECT c.identity AS who, count(DISTINCT f.face_id) AS faces, max(f.quality) AS best
             FROM clips c JOIN faces f USING (clip_id) WHERE c.labels->>'camera' = 'left' AND f.quality > 0.3
             GROUP BY c.identity HAVING count(*) > 1"""
    identity = {row["clip_id"]: row["identity"] for row in world.query("clips").to_pylist()}
    faces = [row for row in world.query("faces").to_pylist() if row["quality"] > 0.3]
    expected = {}
    for face in faces:
        expected.setdefault(identity[face["clip_id"]], []).append(face["quality"])
    expected = {who: (len(all), max(all)) for who, all in expected.items() if len(all) > 1}
    assert {row["who"]: (row["faces"], row["best"]) for row in ask(world, sql)} == expected


def test_columns_that_share_a_name_are_all_there(world):
    assert ask(world, "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a") == [{"a": 1, "a_1": 2, "a_1_1": 3, "a_2": 4}]
    (row, *_) = ask(world, "SELECT * FROM clips c JOIN voices v USING (clip_id) WHERE c.start_s <> v.end_s")
    assert row["end_s"] != row["end_s_1"] == row["start_s_1"] + 1


def test_rows_for_json_have_no_numbers_that_json_lacks(world):
    with sql_rows(world.snapshot(), "SELECT 'nan'::DOUBLE AS a, ['inf'::DOUBLE, 1.5] AS b, 2.5 AS c") as reader:
        assert list(plain_rows(reader)) == [{"a": None, "b": [None, 1.5], "c": 2.5}]


def test_only_the_columns_and_rows_that_are_asked_for_are_read(world):
    (plan,) = ask(world, "EXPLAIN SELECT time_s FROM faces_media WHERE clip_id = 'x'")
    scan = plan["explain_value"].partition("Arrow Scan")[2]
    assert "clip_id = 'x'" in scan.replace('"', "").replace("=", " = ").replace("  ", " ")
    assert "image" not in scan
    assert "vector" not in scan


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT * FROM clip", "did you mean 'clips'?"),
        ("SELECT clip_idd FROM clips", "clip_id"),
        ("SELEC 1", "syntax error"),
        ("SELECT 1; SELECT 2", "found 2 statements"),
        ("-- nothing", "found 0 statements"),
        ("SELECT error('late') FROM clips", "late"),
        ("DROP VIEW clips", "changes nothing"),
        ("CREATE TABLE t AS SELECT 1", "changes nothing"),
        ("INSERT INTO clips SELECT * FROM clips", "changes nothing"),
        ("SET memory_limit = '1TB'", "changes nothing"),
        ("ATTACH '{secret}'", "changes nothing"),
        ("INSTALL httpfs", "changes nothing"),
        ("COPY clips TO '{secret}'", "changes nothing"),
        ("SELECT * FROM read_csv('{secret}')", "no files"),
        ("SELECT * FROM read_text('{secret}')", "no files"),
        ("SELECT * FROM '{secret}'", "no files"),
        ("SELECT * FROM glob('{secret}*')", "no files"),
        ("SELECT * FROM read_parquet('https://127.0.0.1:1/x.parquet')", "no files"),
        ("SELECT * FROM expected", "unknown table"),
    ],
)
def test_what_is_no_query_of_the_store_is_refused_in_a_line(world, tmp_path, sql, said):
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")
    expected = world.query("clips")  # an object of Python's must not be seen either
    with pytest.raises(InputError) as error:
        ask(world, sql.format(secret=secret))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert secret.read_text() == "a,b\n1,2\n"
    assert len(expected) == world.count("clips")
