"""Plain data comes back as it was; whatever else a pickle asks for is refused before it runs."""

import collections
import io
import os
import pickle
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.bounded import outcomes
from vclip.association.trials.plain_pickle import load_plain_pickle
from vclip.errors import InputError

PLAIN = {
    "list": [("id1/a/1.wav", "A/1.jpg", 1), ("id2/b/2.wav", "B/2.jpg", 0)],
    "jpg_set": {"A/1.jpg", "B/2.jpg"},
    "frozen": frozenset({1, 2}),
    "numbers": [True, None, -3, 2**80, 1.5, 2j, b"\xff\x00", b"", "é"],
    "vectors": {
        "f4": np.arange(6, dtype="<f4").reshape(2, 3),
        "big endian": np.arange(6, dtype=">i2"),
        "columns first": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "text": np.array(["ab", "cde"]),
        "bytes": np.array([b"ab", b"cde"]),
        "bool": np.array([True, False]),
        "empty": np.zeros((0, 4), np.float32),
        "no dimension": np.array(3.0),
    },
    "scalars": [np.float32(1.5), np.int64(-2), np.str_("name"), np.bool_(True)],
}


def _same(a, b):
    """Asserts equality, of types too."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            _same(a[key], b[key])
    elif isinstance(a, list | tuple):
        for x, y in zip(a, b, strict=True):
            _same(x, y)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b, strict=True)
    else:
        assert a == b


def _write(path, value, protocol=pickle.HIGHEST_PROTOCOL):
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_comes_back_as_it_was(protocol, tmp_path):
    loaded = load_plain_pickle(_write(tmp_path / "plain.pkl", PLAIN, protocol))
    _same(loaded, PLAIN)
    loaded["vectors"]["f4"] += 1  # arrays can be written to


def test_ordered_and_default_dicts_come_as_dicts(tmp_path):
    counts = collections.defaultdict(list, a=[1])
    value = {"ordered": collections.OrderedDict(b=1, a=2), "default": counts}
    for protocol in (2, 5):
        _same(
            load_plain_pickle(_write(tmp_path / "d.pkl", value, protocol)),
            {"ordered": {"b": 1, "a": 2}, "default": {"a": [1]}},
        )


def test_a_pickle_of_python_2_and_an_old_numpy(tmp_path):
    """As Python 2.7 wrote it, with protocol 2: byte strings, and numpy.core.multiarray."""
    old = (
        b"\x80\x02}q\x01U\x05a.jpgq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05"
        b"U\x01bq\x06\x87q\x07Rq\x08(K\x01K\x02\x85q\tcnumpy\ndtype\nq\nU\x02f4q\x0bK\x00K\x01\x87q\x0cRq\r(K\x03U\x01<q"
        b"\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89U\x08\x00\x00\x80?\x00\x00\x00@q\x10tq\x11bs."
    )
    (tmp_path / "old.pkl").write_bytes(old)
    _same(load_plain_pickle(tmp_path / "old.pkl"), {"a.jpg": np.array([1, 2], "<f4")})


def test_what_is_held_twice_stays_one_and_a_list_may_hold_itself(tmp_path):
    vector, own = np.arange(3.0), [1]
    own.append(own)
    loaded = load_plain_pickle(
        _write(tmp_path / "d.pkl", {"a": vector, "b": vector, "own": own, "pair": (vector, 1)})
    )
    assert loaded["a"] is loaded["b"] is loaded["pair"][0]
    assert loaded["own"][1] is loaded["own"]
    laughs = ["ha"]
    for _ in range(60):  # 2**60 leaves, 61 lists
        laughs = [laughs, laughs]
    assert load_plain_pickle(_write(tmp_path / "d.pkl", laughs))[0][1] is not None


class _Runs:
    """Pickles to a call."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


MALICIOUS = {
    "posix.system": lambda mark: _Runs(os.system, f"touch {mark}"),
    "subprocess.Popen": lambda mark: _Runs(subprocess.Popen, ["touch", str(mark)]),
    "builtins.eval": lambda mark: _Runs(eval, f"open({str(mark)!r}, 'w')"),
    "builtins.getattr": lambda mark: _Runs(getattr, "x", "upper"),
    "pathlib.PosixPath": lambda mark: Path(mark),
    "_io.open": lambda mark: _Runs(io.open, str(mark), "w"),
    "numpy.load": lambda mark: _Runs(np.load, str(mark)),
}


@pytest.mark.parametrize("name", MALICIOUS)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_malicious_pickle_runs_nothing_and_is_named(name, protocol, tmp_path):
    mark = tmp_path / "was here"
    bad = {"list": [("a.wav", "b.jpg", 1)], "x": MALICIOUS[name](mark)}
    path = _write(tmp_path / "bad.pkl", bad, protocol)
    with pytest.raises(InputError, match="expected plain data; nothing of it has run") as raised:
        load_plain_pickle(path)
    assert name.split(".")[1] in str(raised.value)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not mark.exists()


def _global(module, name):
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


@pytest.mark.parametrize(
    "stream",
    [
        _global("numpy", "dtype") + b"N}X\x05\x00\x00\x00_makeK\x01s\x86b.",  # sets an attribute of the reader's own
        _global("numpy", "dtype") + b".",
        _global("builtins", "set") + b".",
        _global("numpy", "dtype") + b"X\x01\x00\x00\x00O\x85R.",
        _global("numpy", "dtype") + b"]X\x02\x00\x00\x00f4a\x85R.",
        _global("_codecs", "encode") + b"X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.",
        _global("collections", "defaultdict") + _global("os", "getcwd") + b"\x85R.",
        b"Pname\n.",
    ],
    ids=["changes a reader", "a function", "a class", "objects", "fields", "codec", "factory", "persistent"],
)
def test_a_forged_stream_is_refused(stream, tmp_path):
    (tmp_path / "bad.pkl").write_bytes(b"\x80\x03" + stream)
    for _ in range(2):  # and leaves the reader as it was
        with pytest.raises(InputError, match="plain data"):
            load_plain_pickle(tmp_path / "bad.pkl")
    _same(load_plain_pickle(_write(tmp_path / "good.pkl", PLAIN["vectors"], 2)), PLAIN["vectors"])


def test_objects_in_an_array_are_refused(tmp_path):
    with pytest.raises(InputError, match="array of dtype 'O8'"):
        load_plain_pickle(_write(tmp_path / "o.pkl", np.array(["a", None], object), 2))


@pytest.mark.parametrize("cut", [0, 1, 10, 100, -1])
def test_a_torn_pickle_is_an_error(cut, tmp_path):
    (tmp_path / "torn.pkl").write_bytes(pickle.dumps(PLAIN["vectors"], 4)[:cut])
    with pytest.raises(InputError, match=r"torn\.pkl: not a whole pickle of plain data"):
        load_plain_pickle(tmp_path / "torn.pkl")


def test_no_file_and_other_files_are_errors(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_plain_pickle(tmp_path / "none.pkl")
    (tmp_path / "text.pkl").write_text("id10117/a/1.wav CCH_Pounder/1.jpg\n")
    with pytest.raises(InputError, match="not a whole pickle"):
        load_plain_pickle(tmp_path / "text.pkl")


def _opcodes(name):
    """Small pickles that ask for much more than they hold."""
    head = b"\x80\x04"
    key = b"K\x01\x85" + b"2\x86" * 60  # 61 tuples, each of twice the one before: 2**60 numbers to hash
    # Lists of twice the one before.
    nested = b"".join(b"0](h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1]) for i in range(60))
    some = b"B" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20) + b"q\x00"
    text = b"X" + (1 << 20).to_bytes(4, "little") + bytes(1 << 20) + b"q\x00"
    dtype = b"cnumpy\ndtype\nX\x02\x00\x00\x00u1\x85Rq\x01"
    return {
        "memo": head + b"Nr\xff\xff\xff\x1f.",
        "memo in text": b"Np536870911\n.",
        "bytes of 2**40": head + b"\x8e" + (1 << 40).to_bytes(8, "little") + b".",
        "bytes of 2**31": head + b"B\xff\xff\xff\x7f.",
        "text of 2**40": head + b"\x8d" + (1 << 40).to_bytes(8, "little") + b".",
        "array of bytes of 2**40": b"\x80\x05\x96" + (1 << 40).to_bytes(8, "little") + b".",
        "frame of 2**40": head + b"\x95" + (1 << 40).to_bytes(8, "little") + b"N.",
        "number of 2**31 bytes": head + b"\x8b\xff\xff\xff\x7f.",
        "digits": b"L" + b"9" * 1_000_000 + b"L\n.",
        "key": head + b"}" + key + b"Ns.",
        "keys": head + b"}(" + key + b"Nu.",
        "member": head + b"\x8f(" + key + b"\x90.",
        "frozen": head + b"(" + key + b"\x91.",
        "old set": head + b"c__builtin__\nset\n](" + key + b"e\x85R.",
        "old dict": head + b"ccollections\nOrderedDict\n]" + key + b"N\x86a\x85R.",
        "many keys": head + b"}(" + b"K\x01" * 50_000 + b"tq\x000" + b"h\x00Ns" * 40_000 + b".",
        "text of lists": head + b"c__builtin__\nstr\n](K\x01eq\x00" + nested + b"\x85R.",
        "copied bytes": head + text + b"0](" + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 3000 + b"e.",
        "copied arrays": head + some + b"0" + dtype + b"0]("
        + b"cnumpy.core.numeric\n_frombuffer\n(h\x00h\x01J\x00\x00\x10\x00\x85X\x01\x00\x00\x00CtR" * 3000 + b"e.",
        "array without numbers": head + b"cnumpy.core.numeric\n_frombuffer\n(C\x00" + dtype
        + b"J\x00e\xcd\x1d\x85X\x01\x00\x00\x00CtR.",
        "copied lists": head + b"](" + b"K\x01" * 50_000 + b"eq\x00]("
        + b"c__builtin__\nset\nh\x00\x85R" * 50_000 + b"e.",
        "deep": head + b"]" * 200_000 + b"a" * 199_999 + b".",
        "deep tuples": head + b")" + b"\x85" * 200_000 + b".",
        "nothing": b"",
    }[name]  # fmt: skip


BOMBS = [
    *("memo", "memo in text", "bytes of 2**40", "bytes of 2**31", "text of 2**40", "array of bytes of 2**40", "keys"),
    *("frame of 2**40", "number of 2**31 bytes", "digits", "key", "member", "frozen", "old set", "old dict", "deep"),
    *(
        "many keys",
        "text of lists",
        "copied bytes",
        "copied arrays",
        "array without numbers",
        "deep tuples",
        "nothing",
    ),
    "copied lists",
]
LOAD = "from vclip.association.trials.plain_pickle import load_plain_pickle as load"


def test_a_pickle_takes_no_more_memory_or_time_than_its_size_explains(tmp_path):
    paths = []
    for number, name in enumerate(BOMBS):
        paths.append(tmp_path / f"{number}.pkl")
        paths[-1].write_bytes(_opcodes(name))
    found = outcomes(LOAD, paths)
    assert {BOMBS[i]: found[str(path)] for i, path in enumerate(paths) if found[str(path)] != "refused"} == {}


def test_any_damage_to_a_pickle_is_refused_or_read(tmp_path):
    rng, paths = np.random.default_rng(0), []
    true = [pickle.dumps(PLAIN, protocol) for protocol in range(6)]
    for number in range(1500):
        data = bytearray(true[number % 6])
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(data)))
            some = rng.bytes(int(rng.integers(1, 5)))
            data[at : at + (len(some) if rng.random() < 0.7 else 0)] = some
        paths.append(tmp_path / f"{number}.pkl")
        paths[-1].write_bytes(data[: int(rng.integers(1, 40))] if number % 10 == 0 else data)
    found = outcomes(LOAD, paths)
    assert set(found.values()) == {"loaded", "refused"}
