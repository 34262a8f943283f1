"""`vclip import voxceleb`: small trees in the layouts of VoxCeleb1 and VoxCeleb2, of made-up people."""

import itertools
import json
import re
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from pipelines.config import Config
from pipelines.extraction.config import MediaConfig
from pipelines.extraction.faces.detectors import open_detector
from pipelines.extraction.speech.recordings import read_int16
from pipelines.extraction.video.ffmpeg import ffmpeg_binary
from pipelines.ingest.importers.media import one_clip
from pipelines.ingest.importers.voxceleb import Metadata, find_files, read_metadata
from stores import Store
from tests.support.small_world import no_face, people_in_pairs
from tests.support.vclip_command import OFFLINE, tree
from vclip.audio import read_audio
from vclip.errors import InputError

VOX1 = """VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet
id10001\tA.J._Buckley\tm\tIreland\tdev
id10002\tB_Bo.\tf\tIndia\ttest
"""
VOX2 = "VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set \nid00012 ,n000012 ,f ,dev \nid00013 ,n000013 ,m ,test \n"


def _ffmpeg(*arguments):
    subprocess.run([ffmpeg_binary(), "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def people(pair_files):
    """(picture, speech) of two people."""
    return [(pair_files / f"{p.name}.png", pair_files / p.name / "speech.wav") for p in people_in_pairs()[:2]]


@pytest.fixture(scope="module")
def vox1(people, tmp_path_factory):
    """Two identities' videos, one of them with a picture that shows nobody, and one of sound alone."""
    root = tmp_path_factory.mktemp("vox1")
    for who, name, video, (picture, speech) in (
        ("id10001", "A.J._Buckley", "Y8hIVOBuels", people[0]),
        ("id10002", "B_Bo", "0w0kkZSDzwI", people[1]),
    ):
        frames, sounds = root / "unzippedFaces" / name / "1.6" / video, root / "wav" / who / video
        frames.mkdir(parents=True)
        sounds.mkdir(parents=True)
        image = cv2.imread(str(picture))
        for number in range(3):
            cv2.imwrite(str(frames / f"{25 * number:07}.jpg"), np.roll(image, 2 * number, axis=1))
        for number in range(2):
            shutil.copy(speech, sounds / f"{number:05}.wav")
    cv2.imwrite(str(frames / "0000060.jpg"), no_face())
    alone = root / "wav" / "id10002" / "xxxxxxxxxxx"
    alone.mkdir()
    shutil.copy(speech, alone / "00001.wav")
    (root / "vox1_meta.csv").write_text(VOX1)
    return root


@pytest.fixture(scope="module")
def vox2(people, tmp_path_factory):
    """Tracks of two faces: one with its sound in a file of its own, one with it inside."""
    root = tmp_path_factory.mktemp("vox2")
    for who, video, (picture, speech), inside in (
        ("id00012", "21Uxsk56VDQ", people[0], False),
        ("id00013", "2GRnKY2xZZk", people[1], True),
    ):
        track, sound = root / "dev" / "mp4" / who / video, root / "dev" / "aac" / who / video
        track.mkdir(parents=True)
        still = ["-loop", 1, "-r", 25, "-t", 3, "-i", picture]
        sounds = ["-i", speech, "-c:a", "aac", "-shortest"] if inside else []
        _ffmpeg(*still, *sounds, "-pix_fmt", "yuv420p", "-vf", "scale=224:224", track / "00001.mp4")
        if not inside:
            sound.mkdir(parents=True)
            _ffmpeg("-i", speech, "-c:a", "aac", sound / "00001.m4a")
    (root / "vox2_meta.csv").write_text(VOX2)
    return root


@pytest.mark.slow
def test_images_by_name_are_matched_with_audio_by_id(vox1, vclip, tmp_path):
    store, meta = tmp_path / "store", vox1 / "vox1_meta.csv"
    given = ["import", "voxceleb", vox1, "--meta", meta, "--store", store, "--config", OFFLINE]
    answer = vclip(*given, "--json")
    assert answer.code == 0, answer.err
    summary = json.loads(answer.out)
    assert summary["videos"] == {"done": 2, "failed": 1}
    assert summary["funnel"]["drop:no_face"] == 1
    assert (summary["rows"]["clips"], summary["rows"]["faces"]) == (2, 6)
    opened = Store.open(str(store))
    clips = {clip["identity"]: clip for clip in opened.query("clips").to_pylist()}
    assert {who: (c["gender"], c["nationality"], c["split"]) for who, c in clips.items()} == {
        "id10001": ("m", "Ireland", "train"),
        "id10002": ("f", "India", "test"),
    }
    assert json.loads(clips["id10001"]["labels"]) == {"name": "A.J._Buckley", "video": "Y8hIVOBuels"}
    assert clips["id10001"]["video_uri"].endswith("#id10001/Y8hIVOBuels")
    (failed,) = opened.query("videos", where="state = 'failed'").to_pylist()
    assert failed["reason"] == "no image"
    voices = opened.query("voices", where=f"clip_id = '{clips['id10001']['clip_id']}'", order="start_s").to_pylist()
    both_s = 2 * len(read_audio(vox1 / "wav/id10001/Y8hIVOBuels/00000.wav")[0]) / 16_000
    assert voices[-1]["end_s"] == pytest.approx(both_s, abs=1e-3)
    assert all(a["end_s"] <= b["start_s"] for a, b in itertools.pairwise(voices))
    again = vclip(*given)
    assert (again.code, "has all 3 inputs" in again.out) == (0, True)


@pytest.mark.slow
def test_face_tracks_with_their_audio_beside_or_inside(vox2, vclip, tmp_path):
    store = tmp_path / "store"
    meta = vox2 / "vox2_meta.csv"
    answer = vclip("import", "voxceleb", vox2, "--meta", meta, "--store", store, "--config", OFFLINE, "--json")
    assert answer.code == 0, answer.err
    summary = json.loads(answer.out)
    assert summary["videos"] == {"done": 2}
    assert summary["rows"]["faces"] == 2 * Config().extraction.clips.crops
    clips = Store.open(str(store)).query("clips").to_pylist()
    assert sorted((c["identity"], c["gender"], c["split"]) for c in clips) == [
        ("id00012", "f", "train"),
        ("id00013", "m", "test"),
    ]


def test_files_are_found_in_every_layout(vox1, vox2):
    known = read_metadata(vox1 / "vox1_meta.csv")
    found = find_files([vox1], known)
    assert {key: {kind: len(paths) for kind, paths in kinds.items()} for key, kinds in found.items()} == {
        ("id10001", "Y8hIVOBuels"): {"images": 3, "audio": 2},
        ("id10002", "0w0kkZSDzwI"): {"images": 4, "audio": 2},
        ("id10002", "xxxxxxxxxxx"): {"audio": 1},
    }
    assert find_files([vox1 / "wav", vox1 / "unzippedFaces"], known) == found
    one = find_files([vox1 / "wav" / "id10001"], Metadata({}, {}))  # its identity is the folder that was given
    assert list(one) == [("id10001", "Y8hIVOBuels")]
    assert set(find_files([vox2], Metadata({}, {}))) == {("id00012", "21Uxsk56VDQ"), ("id00013", "2GRnKY2xZZk")}


def test_a_file_in_two_forms_counts_once(tmp_path):
    for name in ("aac/id1/v/00001.m4a", "wav/id1/v/00001.wav", "f/id1/1.6/v/1.jpg", "f/id1/1.0/v/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (found,) = find_files([tmp_path], Metadata({}, {})).values()
    assert {kind: len(paths) for kind, paths in found.items()} == {"audio": 1, "images": 1}
    assert found["audio"] == [str(tmp_path / "wav/id1/v/00001.wav")]


@pytest.mark.parametrize(
    ("text", "who", "labels", "names"),
    [
        (
            VOX1,
            "id10002",
            {"gender": "f", "nationality": "India", "split": "test", "name": "B_Bo."},
            ["B_Bo", "B_Bo."],
        ),
        (VOX1.replace("\t", ",").replace(" ID", "_ID"), "id10001", {"nationality": "Ireland"}, ["A.J._Buckley"]),
        (VOX2, "id00012", {"gender": "f", "split": "train", "name": "n000012"}, ["n000012"]),
        ("Name\tVoxCeleb2 ID\tGender\tSet\nAda L\tid1\tf\tdev\n", "id1", {"name": "Ada L"}, ["Ada L"]),
    ],
    ids=["tabs", "commas", "vox2", "vox2 with names"],
)
def test_metadata_is_read_in_the_forms_that_are_about(tmp_path, text, who, labels, names):
    path = tmp_path / "meta.csv"
    path.write_text(text)
    known = read_metadata(path)
    assert labels.items() <= known.labels[who].items()
    assert {known.identity_of(name) for name in [who, *names]} == {who}
    assert known.identity_of("somebody_else") == "somebody_else"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, "No such file"),
        ("", "found columns nothing"),
        ("id,gender\nx,f\n", "found columns id, gender; expected 'VoxCeleb1 ID'"),
        (VOX1 + VOX1.splitlines()[1] + "\n", "rows 1 and 3: 'id10001' twice"),
    ],
    ids=["missing", "empty", "another table", "twice"],
)
def test_bad_metadata_says_what_is_wrong(tmp_path, text, named):
    path = tmp_path / "meta.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=named):
        read_metadata(path)


@pytest.mark.parametrize(
    ("make", "options", "named"),
    [
        (lambda root: None, (), "no such folder"),
        (lambda root: root.mkdir(), (), "found no file IDENTITY/VIDEO/FILE"),
        (lambda root: _touch(root, "id1/v/1.wav", "Ann/1.6/v/1.jpg"), (), "none of 2 videos .* --meta"),
        (lambda root: _touch(root, "id1/v/1.wav", "id1/v/1.jpg"), ("--files", "0"), "--files"),
    ],
    ids=["missing", "empty", "nothing belongs together", "no file"],
)
def test_a_tree_that_cannot_be_used_is_refused_and_nothing_written(tmp_path, vclip, make, options, named):
    make(tmp_path / "vox")
    before = tree(tmp_path)
    store = tmp_path / "store"
    answer = vclip("import", "voxceleb", tmp_path / "vox", "--store", store, "--config", OFFLINE, *options)
    assert (answer.code, answer.out) == (2, "")
    assert re.search(named, answer.err)
    assert "Traceback" not in answer.err
    assert tree(tmp_path) == before


def _touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_the_audio_of_an_m4a_is_that_of_the_wav(people, tmp_path):
    speech = people[0][1]
    _ffmpeg("-i", speech, "-c:a", "aac", "-b:a", "128k", tmp_path / "a.m4a")
    wav, m4a = (read_int16(str(path), MediaConfig())[0].astype(float) for path in (speech, tmp_path / "a.m4a"))
    assert abs(len(wav) - len(m4a)) < 3200
    shift = np.argmax(np.correlate(m4a[:48_000], wav[2000:40_000], "valid")) - 2000
    assert abs(shift) < 2048
    inside = slice(4000, 36_000)
    assert np.corrcoef(np.roll(m4a[:48_000], -shift)[inside], wav[:48_000][inside])[0, 1] > 0.95


def test_a_file_without_audio_is_an_error(tmp_path):
    path = tmp_path / "a.m4a"
    path.write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    with pytest.raises(InputError, match=r"audio .*a\.m4a: .*; expected an audio file or a video"):
        read_int16(str(path), MediaConfig())


def test_what_cannot_be_used_is_a_drop_and_the_rest_makes_the_clip(people, tmp_path):
    picture, speech = map(str, people[0])
    broken, nobody, silent = tmp_path / "a.jpg", tmp_path / "b.png", tmp_path / "c.wav"
    broken.write_text("no image")
    cv2.imwrite(str(nobody), no_face())
    _ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", 2, silent)
    config, detector = Config(), open_detector("centerface")
    found = one_clip([str(broken), str(nobody), picture], [str(broken), str(silent), speech], config, detector)
    assert found.state == "done"
    drops = {name: count for name, count in found.funnel.items() if name.startswith("drop:")}
    assert drops == {f"drop:{why}": 1 for why in ("unreadable_picture", "no_face", "unreadable_sound", "silent")}
    assert found.clips[0].voices[0].start_s >= 2  # after the silent one
    assert one_clip([str(nobody)], [speech], config, detector).reason.startswith("no face")
    assert one_clip([picture], [str(broken)], config, detector).state == "failed"
    nothing = one_clip([picture], [str(silent)], config, detector)
    assert (nothing.state, nothing.reason) == ("empty", f"no speech in {silent}")


def test_a_row_of_the_metadata_that_cannot_be_used_is_told_and_the_others_count(tmp_path, capsys):
    (tmp_path / "meta.csv").write_text("\ufeff" + VOX1.replace("\n", "\r\n") + "id10003\tX\n\n")
    assert set(read_metadata(tmp_path / "meta.csv").labels) == {"id10001", "id10002"}
    assert "1 row cannot be used and give no labels; the first: row 3: found 2 fields" in capsys.readouterr().err
