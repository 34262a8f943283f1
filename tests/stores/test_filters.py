"""A user's filter is one expression, whatever it holds: it means what LanceDB makes of it, and no more."""

import lancedb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.errors import StoreError
from stores.filters import parsed
from stores.maintenance.deletion_plan import plan_deletion
from tests.support.store_world import video

ROWS = {
    "id": ["a", "b", "c", "d"],
    "identity": ["Ann", "bob", None, "it's -- /* a"],
    "x": [1.5, -2.5, None, 0.0],
    "n": [1, 2, 3, None],
    "flag": [True, False, None, True],
    "labels": [["p"], ["q", "p"], [], None],
    "of": [{"f": 1}, {"f": 2}, {"f": 3}, None],
}

SAME = [
    "identity LIKE 'A%'", "identity NOT LIKE 'A%'", "identity ILIKE 'a%' ESCAPE '\\'", "NOT identity LIKE 'A%'",
    "identity = 'it''s -- /* a'", "identity IS NULL", "identity IS NOT NULL AND x IS NOT NULL", "flag",
    "NOT flag", "flag IS TRUE", "flag IS NOT TRUE", "flag IS FALSE", "n IN (1, 3)", "n NOT IN (1, 3)",
    "n BETWEEN 1 AND 2", "n NOT BETWEEN 1 AND 2", "x > -1 AND x < 1e0", "n + 1 = 2 OR n - 1 - 1 = 1",
    "n - (1 - 1) = 2", "x / 2 * 2 = 1.5", "n % 2 = 1", "-x > 2", "(n = 1 OR n = 2) AND x < 0",
    "n = 1 OR n = 2 AND x < 0", "NOT (n = 1 OR n = 2)", "lower(identity) = 'bob'", "strpos(identity, 'o') > 0",
    "coalesce(n, 7) = 7", "length(id) = 1", "CAST(n AS double) / 2 > 0.6", "CAST(x AS string) = '1.5'",
    "array_has(labels, 'p')", "labels[1] = 'p'", "of.f = 2", "identity || 'x' = 'Annx'", "Identity = 'Ann'",
    "`id` = 'a'", "\"id\" = 'a'", "id == 'a'", "regexp_like(identity, 'o.')",
    "starts_with(identity, 'A') = true", "n <> 1", "n != 1", "true", "false", "id = NULL", "round(x) = 2",
    "x = 0.0 -- the middle", "x /* the * middle */ = 0.0", "_rowid >= 0", "contains(identity, 'o')",
    "NOT NOT flag", "n >= 2 AND n <= 3 AND flag IS NULL", "abs(x) > 2",
]  # fmt: skip

HOSTILE = [
    "true /* ' */ ) OR (true /* ' */", "true) OR (true", "(true", "true)", "true -- )\n) OR (true",
    "true; DROP TABLE clips", "true ORDER BY id", "true LIMIT 1", "true GROUP BY id", "true UNION SELECT 1",
    "true HAVING true", "id IN (SELECT id FROM t)", "EXISTS (SELECT 1)", "$$a'b$$ = id) OR (true", "? = 1",
    "$1 = 1", "count(*) > 1", "sum(n) OVER () > 1", "", " ", "--", "/* a", "'", "id = 'a", "`", "x'",
    "id = x'zz'", "\0", "id = '\0' OR", "(" * 5000, "NOT " * 5000 + "flag", "n" + " + 1" * 900 + " = 1",
    "* = 1", "id.x.y.z", "nope = 1", "true, true", "x IS DISTINCT FROM 1", "CASE WHEN flag THEN true END",
    "lower(x => 1)", "\ud800 = 1", "id = '\ud800'", "id = '' QUALIFY true", "id = ANY([1])",
    "main.lower(id) = 'a'", "x:1", "id COLLATE x = 'a'",
]  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    return lancedb.connect(str(tmp_path_factory.mktemp("filters"))).create_table("t", pa.table(ROWS))


def _ids(table, where):
    return sorted(table.search().where(where).limit(10).to_arrow()["id"].to_pylist())


def _parsed(where):
    return parsed(where, [*ROWS, "_rowid"], "t")


@pytest.mark.parametrize("where", SAME)
def test_a_filter_means_what_lancedb_makes_of_it(table, where):
    written = _parsed(where)
    assert _ids(table, written) == _ids(table, where)
    assert _ids(table, f"({written}) AND (id = 'a')") == [name for name in _ids(table, where) if name == "a"]
    assert _parsed(written) == written


@pytest.mark.parametrize("where", ["t.identity = 'Ann'", "T.x > t.n - 1 AND t.of.f = 1", '"t"."id" = \'a\''])
def test_a_column_may_have_the_name_of_its_table_before_it(table, where):
    assert _ids(table, _parsed(where)) == ["a"]


@pytest.mark.parametrize("where", HOSTILE)
def test_what_is_not_one_expression_is_refused(table, where):
    with pytest.raises(StoreError) as error:
        _ids(table, _within_store(where))
    assert "\n" not in str(error.value)


def _within_store(where):
    """The filter as `Snapshot` uses it: what LanceDB refuses as well is a StoreError."""
    written = _parsed(where)
    db = lancedb.connect("memory://").create_table("t", pa.table(ROWS))
    try:
        db.search().where(f"({written})").to_arrow()
    except (ValueError, RuntimeError) as error:
        raise StoreError(str(error).splitlines()[0]) from None
    return written


PIECES = [
    *("true", "false", "id", "n", "x", "identity", "flag", "'a'", "'", "''", '"', "`", "(", ")", "/*", "*/", "--"),
    *("\n", " AND ", " OR ", " NOT ", "=", "<", ">", "1", "-", "+", ".", ",", ";", "$$", "E'", "\\", " IN ", "|"),
    *(" LIKE ", " IS ", " NULL ", "[", "]", "::", "int", "lower", "UNION", "SELECT", " ", "#", "{", "}", "?", "~"),
    *("\u00e9", "\0", "@"),
]


@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_no_text_reaches_beyond_its_brackets(table, where):
    try:
        written = _parsed(where)
        found = _ids(table, f"({written}) AND id = 'a'")
    except (StoreError, ValueError, RuntimeError):  # refused by us or by LanceDB; never a panic of LanceDB's
        return
    assert set(found) <= {"a"}
    assert _parsed(written) == written


def test_no_filter_shows_or_deletes_what_is_hidden(store):
    store.commit([video(number) for number in range(4)])
    clips = store.query("clips", ["clip_id"], order="clip_id")["clip_id"].to_pylist()
    store.reject(clips[:1], "ann", "seen")
    for where in ("true /* ' */ ) OR (true /* ' */", "true) OR (true"):
        for call in (
            lambda where=where: store.query("clips", ["clip_id"], where),
            lambda where=where: store.count("clips", where),
            lambda where=where: list(store.snapshot().batches("clips", ["clip_id"], where)),
            lambda where=where: store.snapshot().row_ids("clips", ["clip_id"], where),
            lambda where=where: store.pairs(where=where),
            lambda where=where: plan_deletion(store, where=where),
        ):
            with pytest.raises(StoreError, match="not SQL that LanceDB understands"):
                call()
    assert clips[0] not in store.query("clips", ["clip_id"], "true OR true")["clip_id"].to_pylist()


def test_brackets_that_are_never_closed_are_refused_before_they_are_parsed(table):
    with pytest.raises(StoreError, match="found 100,000 brackets within each other, expected at most 1,000"):
        _parsed("(" * 100_000)
    deep = "(" * 900 + "identity = '" + "(" * 2000 + "'" + ")" * 900
    assert _ids(table, _parsed(f"{deep} OR id = 'a'")) == ["a"]


def test_functions_and_length_can_be_limited():
    assert parsed("lower(identity) = 'a'", list(ROWS), "t", {"lower"}, 100)
    for where in (
        "length(repeat('x',1000000000)) > 5",
        "array_length(range(1,200000000)) > 1",
        "identity || 'x' = 'a'",
    ):
        with pytest.raises(StoreError, match="is not a function that may be called here"):
            parsed(where, list(ROWS), "t", {"lower", "length", "array_length"}, 100)
    with pytest.raises(StoreError, match="a filter of 101 characters, expected at most 100"):
        parsed("x" * 101, list(ROWS), "t", None, 100)
