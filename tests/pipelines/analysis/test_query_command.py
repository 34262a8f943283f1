"""`vclip query`: what a script reads, and what a typing error answers."""

import csv
import io
import json

import pytest

from pipelines.analysis.query import COLUMNS
from stores import Store
from stores.schema import TABLES

pytestmark = pytest.mark.slow


def test_json_as_a_script_reads_it(ingested, vclip):
    columns = ("--select", "video_uri,start_s,end_s,box", "--where", "end_s - start_s > 2")
    said = vclip("query", "--store", ingested.store, "--table", "clips", *columns, "--format", "json")
    rows = json.loads(said.out)
    assert said.code == 0
    assert len(rows) == Store.open(ingested.store).count("clips", "end_s - start_s > 2") >= 6
    for row in rows:
        assert list(row) == ["video_uri", "start_s", "end_s", "box"]
        assert row["end_s"] - row["start_s"] > 2
        x0, y0, x1, y1 = row["box"]
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        assert (x1 - x0) * (y1 - y0) > 0.05  # the head fills a good part of the sample's frames


def test_formats_agree(ingested, vclip):
    asked = ("query", "--store", ingested.store, "--table", "videos", "--select", "video_id,state,created_at")
    asked = (*asked, "--order", "-video_id", "--format")
    from_json = json.loads(vclip(*asked, "json").out)
    from_lines = [json.loads(line) for line in vclip(*asked, "jsonl").out.splitlines()]
    from_csv = list(csv.DictReader(io.StringIO(vclip(*asked, "csv").out)))
    assert from_json == from_lines == from_csv
    assert [row["video_id"] for row in from_json] == sorted((row["video_id"] for row in from_json), reverse=True)


def test_limit_and_the_table_for_people(ingested, vclip):
    clips = ingested.summary["rows"]["clips"]
    said = vclip("query", "--store", ingested.store, "--limit", 2)
    assert said.out.endswith(f"2 of {clips} rows; --limit, --select and --format show more\n")
    said = vclip("query", "--store", ingested.store)
    assert said.out.endswith(f"\n{clips} rows\n")
    ids = [row["clip_id"] for row in json.loads(vclip("query", "--store", ingested.store, "--format", "json").out)]
    assert [id for id in ids if id in said.out] == ids  # whole, to be copied


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_shown_by_six_columns_at_most(ingested, vclip, table):
    said = vclip("query", "--store", ingested.store, "--table", table)
    assert said.code == 0
    assert len(COLUMNS[table]) <= 6
    assert said.out.endswith("rows\n") or said.out.endswith("1 row\n") or "--limit" in said.out


def test_media_come_only_when_asked_for(ingested, vclip):
    rows = json.loads(vclip("query", "--store", ingested.store, "--table", "faces", "--format", "json").out)
    assert rows
    assert "image" not in rows[0]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (("--select", "start_s,ends_s"), ("ends_s", "end_s")),
        (("--table", "clip"), ("clip", "clips")),
        (("--where", "start_s >"), ("start_s >",)),
        (("--where", "no_such_column = 1"), ("no_such_column",)),
        (("--order", "start"), ("start", "start_s")),
        (("--format", "xml"), ("xml", "jsonl")),
    ],
)
def test_what_was_mistyped_is_named_in_one_line(ingested, vclip, wrong, named):
    said = vclip("query", "--store", ingested.store, *wrong)
    assert (said.code, said.out) == (2, "")
    assert " ERROR vclip: " in said.err
    assert said.err.count("\n") == 1
    for word in named:
        assert word in said.err
