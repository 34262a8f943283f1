"""What a job reads: listing, labels, and what the ledger knows."""

from dataclasses import replace

import pytest

from pipelines.files.tables import read_columns
from pipelines.ingest.sources.listing import list_videos
from pipelines.ingest.sources.manifest import read_labels
from pipelines.ingest.sources.resume import Window, pending
from pipelines.ingest.sources.source import source_of
from stores import Store, VideoRows, config_hash, run_id, video_id
from vclip.errors import InputError


@pytest.fixture
def folder(tmp_path):
    for name in ("b.mp4", "A/a.MOV", "A/deep/c.webm", "A/notes.dat", "labels.csv"):
        path = tmp_path / "videos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "videos"


def test_folders_are_searched_all_the_way_down_and_each_file_counts_once(folder):
    sources = list_videos([folder, folder / "A", folder / "b.mp4"])
    names = [source.uri for source in sources]
    assert names == [str(folder / name) for name in ("A/a.MOV", "A/deep/c.webm", "b.mp4")]


def test_a_file_that_is_named_is_taken_whatever_its_ending(folder):
    assert [source.uri for source in list_videos([folder / "A/notes.dat"])] == [str(folder / "A/notes.dat")]


def test_names_are_absolute_so_that_another_working_directory_knows_them(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert list_videos(["b.mp4"])[0] == list_videos([folder / "b.mp4"])[0]


def test_a_folder_that_is_called_like_a_video_is_no_video(folder):
    (folder / "x.mp4").mkdir()
    assert str(folder / "x.mp4") not in [source.uri for source in list_videos([folder])]
    (folder / "only" / "y.mp4").mkdir(parents=True)
    with pytest.raises(InputError, match="found no video"):
        list_videos([folder / "only"])


def test_labels_are_found_by_name_or_by_path(folder, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(f"file,identity,camera\nb.mp4,Ann,left\n{folder}/A/a.MOV,Bob,\n")
    labels = {s.uri.rpartition("/")[2]: s.labels for s in list_videos([folder], read_labels(table))}
    assert labels == {"b.mp4": {"identity": "Ann", "camera": "left"}, "a.MOV": {"identity": "Bob"}, "c.webm": {}}


def test_a_label_goes_to_no_other_video_of_that_name(tmp_path, capsys):
    for person in ("ann", "bob"):
        (tmp_path / person).mkdir()
        (tmp_path / person / "1.mp4").write_text(person)
    by_path = {"ann/1.mp4": {"identity": "Ann"}, "bob/1.mp4": {"identity": "Bob"}, "eve/1.mp4": {}}
    assert [s.labels.get("identity") for s in list_videos([tmp_path], by_path)] == ["Ann", "Bob"]
    assert "1 of 3 rows without a video of the input; the first: 'eve/1.mp4'" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"none of 1 row names a video"):
        list_videos([tmp_path], {"1.mp4": {"identity": "Ann"}})


def test_a_table_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "t.csv").write_bytes("\ufefffile,identity\na.mp4,Zoë\n".encode())
    (row,) = read_columns(tmp_path / "t.csv", ["file"])
    assert row.values == {"file": "a.mp4", "identity": "Zoë"}


@pytest.mark.parametrize("content", [b"\xff\xfe\x00binary", b"", b"file,identity\n", b"name\na\n"])
def test_a_table_that_is_none_is_named(tmp_path, content):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=r"t\.csv") as error:
        read_columns(tmp_path / "t.csv", ["file"])
    assert "\n" not in str(error.value)


def _split(*args, **more):
    """All windows in one."""
    whole = Window()
    for window in pending(*args, **more):
        for name, value in vars(window).items():
            setattr(whole, name, getattr(whole, name) + value)
    return whole


def _row(source, config):
    return {
        "video_id": source.video_id or video_id(source.paths[0]), "uris": [source.ledger_entry], "state": "empty",
        "reason": "no speech", "run_id": run_id(), "config_hash": config, "duration_s": 1.0, "funnel": {},
    }  # fmt: skip


def _committed(store, source, config):
    store.commit([VideoRows(_row(source, config), [], [], [])])


def test_rows_of_a_former_default_count_as_done_and_new_ones_have_the_present_hash(folder, tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    sources = list_videos([folder])
    _committed(store, sources[0], "former")
    labelled = config_hash({"identity": "Ann"})
    _committed(store, sources[1], f"former.{labelled}")
    window = _split(sources, store, "present", former_hash="former")
    assert [(source.uri, source.config_hash) for source in window.todo] == [(sources[2].uri, "present")]
    assert window.already_stored == 2
    named = [replace(source, labels={"identity": "Ann"}) for source in sources]
    window = _split(named, store, "present", former_hash="former")
    assert [source.uri for source in window.todo] == [sources[0].uri, sources[2].uri]  # the first had no label
    assert {source.config_hash for source in window.todo} == {f"present.{labelled}"}
    _committed(store, sources[2], "present")
    for asked, done in ((("present", "former"), 3), (("former", ""), 2), (("present", ""), 1)):
        assert _split(sources, store, asked[0], former_hash=asked[1]).already_stored == done


def test_a_stored_file_is_not_read_again(folder, tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    sources = list_videos([folder])
    _committed(store, sources[0], "one")

    window = _split(sources, store, "one")
    assert ([source.uri for source in window.todo], window.already_stored) == (
        [source.uri for source in sources[1:]],
        1,
    )
    assert len(_split(sources, store, "another").todo) == 3

    # Known by name, size and time, so its content may even be out of reach; a touched file is hashed again.
    path = folder / "A/a.MOV"
    unreadable = source_of([path], {})
    path.write_text("A/b.MOV")
    assert _split([unreadable], store, "one").already_stored == 1
    assert _split(list_videos([path]), store, "one").todo


def test_duplicates_are_done_once(folder, tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    (folder / "b_again.mp4").write_bytes((folder / "b.mp4").read_bytes())
    window = _split(list_videos([folder / "b.mp4", folder / "b_again.mp4"]), store, "one")
    assert [source.uri for source in window.todo] == [str(folder / "b.mp4")]
    assert [source.uri for source in window.duplicates] == [str(folder / "b_again.mp4")]
    assert window.duplicates[0].video_id == window.todo[0].video_id


def test_other_labels_are_other_work_and_no_labels_are_not(folder, tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    path = folder / "b.mp4"
    (labelled,) = _split(list_videos([path], {"b.mp4": {"identity": "Ann"}}), store, "one").todo
    _committed(store, labelled, labelled.config_hash)
    assert _split(list_videos([path], {"b.mp4": {"identity": "Ann"}}), store, "one").already_stored == 1
    assert _split(list_videos([path]), store, "one").already_stored == 1
    assert len(_split(list_videos([path], {"b.mp4": {"identity": "Bob"}}), store, "one").todo) == 1
    assert len(_split(list_videos([path]), store, "two").todo) == 1


def test_a_file_that_cannot_be_read_is_a_row_not_the_end(folder, tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    sources = list(list_videos([folder]))
    (folder / "b.mp4").unlink()
    window = _split(sources, store, "one")
    assert len(window.todo) == 2
    ((source, failure),) = window.unreadable
    assert (source.uri, failure.reason) == (str(folder / "b.mp4"), "cannot be read (No such file or directory)")
    assert source.video_id


def test_what_a_changed_file_held_is_outdated_unless_it_lives_on_elsewhere(folder, tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    path = folder / "b.mp4"
    (before,) = _split(list_videos([path]), store, "one").todo
    _committed(store, before, "one")
    path.rename(folder / "moved.mp4")
    path.write_text("another film")
    window = _split(list_videos([path, folder / "moved.mp4"]), store, "one")
    assert (len(window.todo), window.already_stored, window.outdated) == (1, 1, [])
    (moved,) = window.renamed
    store.add_uris({moved.video_id: [moved.ledger_entry]})
    assert _split(list_videos([path]), store, "one").outdated == []  # the store knows the other name by now

    other = Store.create(str(tmp_path / "other"), {"face": 4}, {"voice": 4})
    (folder / "moved.mp4").rename(path)
    _committed(other, before, "one")
    path.write_text("yet another film")
    assert _split(list_videos([path]), other, "one").outdated == [before.video_id]


def _copies(folder, count, of=3):
    """`count` files of `of` different contents."""
    for number in range(count):
        (folder / f"{number:03d}.mp4").write_text(f"film {number % of}")


def test_duplicates_are_found_across_windows_and_the_first_name_is_the_one_recorded(tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    (tmp_path / "videos").mkdir()
    _copies(tmp_path / "videos", 10)
    windows = list(pending(list_videos([tmp_path / "videos"]), store, "one", window=2))
    names = [[source.uri[-7:-4] for source in window.todo] for window in windows]
    assert names == [["000", "001"], ["002"]]
    assert [source.uri[-7:-4] for window in windows for source in window.duplicates] == [
        f"{n:03d}" for n in range(3, 10)
    ]


def test_stored_files_do_not_fill_a_window(tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    (tmp_path / "videos").mkdir()
    _copies(tmp_path / "videos", 12, of=12)
    sources = list_videos([tmp_path / "videos"])
    for source in sources[:-1]:
        _committed(store, source, "one")
    (window,) = pending(sources, store, "one", window=2)
    assert (window.already_stored, [source.uri for source in window.todo]) == (11, [sources[-1].uri])


def test_two_files_of_one_content_and_other_labels_settle(tmp_path):
    """The first decides, in every run: else each would undo the other's work."""
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    (tmp_path / "videos").mkdir()
    _copies(tmp_path / "videos", 2, of=1)
    sources = list_videos([tmp_path / "videos"], {"000.mp4": {"identity": "Ann"}, "001.mp4": {"identity": "Bob"}})
    window = _split(sources, store, "one")
    _committed(store, window.todo[0], window.todo[0].config_hash)
    for source in window.duplicates:
        store.add_uris({source.video_id: [source.ledger_entry]})
    window = _split(sources, store, "one")
    assert (window.already_stored, window.todo, window.duplicates) == (2, [], [])


def test_another_configuration_needs_no_second_reading(folder, tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    (source,) = list_videos([folder / "b.mp4"])
    _committed(store, source, "one")
    (folder / "b.mp4").unlink()
    (again,) = _split([source], store, "two").todo
    assert again.video_id == _ledger_ids(store)[0]


def test_failed_videos_are_done_again_only_with_retry_failed(folder, tmp_path):
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    sources = list(list_videos([folder / "b.mp4"]))
    (folder / "b.mp4").rename(folder / "away")
    ((source, failure),) = _split(sources, store, "one").unreadable
    store.commit([VideoRows(_row(source, "one") | {"state": "failed", "reason": failure.reason}, [], [], [])])
    (folder / "away").rename(folder / "b.mp4")
    assert _split(sources, store, "one").already_stored == 1
    window = _split(sources, store, "one", retry_failed=True)
    assert ([source.uri for source in window.todo], window.outdated) == ([source.uri], _ledger_ids(store))


def test_a_file_that_is_gone_takes_nothing_away_from_what_it_gave(folder, tmp_path):
    """Videos may be deleted once they are ingested, and a server may be out of reach for a day."""
    store = Store.create(str(tmp_path / "store"), {"face": 4}, {"voice": 4})
    (tmp_path / "set.csv").write_text("file\nvideos/b.mp4\nvideos/A/a.MOV\n")
    _committed(store, list_videos([folder / "b.mp4"])[0], "one")
    (folder / "b.mp4").unlink()
    window = _split(list_videos([tmp_path / "set.csv"]), store, "one")
    assert (window.already_stored, len(window.todo), window.unreadable, window.outdated) == (1, 1, [], [])
    window = _split(list_videos([tmp_path / "set.csv"]), store, "two")
    assert ([source.uri for source, _ in window.unreadable], window.outdated) == ([str(folder / "b.mp4")], [])


def _ledger_ids(store):
    return store.query("videos")["video_id"].to_pylist()
