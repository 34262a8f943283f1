"""Statistics and the card count what a loop over the rows counts, and say what is not known."""

import itertools
import json
import re
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest
import yaml

from pipelines.analysis.card import card
from pipelines.analysis.hugging_face import front_matter
from pipelines.analysis.stats import MOST_KINDS, MOST_VALUES, stats
from stores import Store, VideoRows
from tests.support.analysis_world import VIDEOS
from tests.support.store_world import FACES, VOICES, video


def test_statistics_are_those_of_a_loop(world, tmp_path):
    found = json.loads(json.dumps(asdict(stats(world.uri, tmp_path / "page.html"))))
    clips, faces, voices = (world.query(name).to_pylist() for name in ("clips", "faces", "voices"))
    assert found["videos"]["states"] == {"done": VIDEOS, "failed": 1}
    assert found["videos"]["reasons"] == {"failed": {"cut off at … s": 1}}
    assert found["videos"]["duration_s"] == 60.0 * (VIDEOS + 1)
    assert found["funnel"] == {"shots": 3 * (VIDEOS + 1), "dropped: small": VIDEOS + 1}
    assert found["clips"]["count"] == len(clips)
    assert np.isclose(found["clips"]["seconds"], sum(c["end_s"] - c["start_s"] for c in clips))
    assert (found["clips"]["without_faces"], found["clips"]["without_voices"]) == (0, 0)
    people = Counter(clip["identity"] for clip in clips if clip["identity"])
    assert found["people"]["count"] == len(people)
    assert found["people"]["clips_of_unknown"] == len(clips) - sum(people.values()) > 0
    assert found["people"]["largest"] == dict(people)
    assert found["people"]["people_by_clips"] == {str(n): k for n, k in Counter(people.values()).items()}
    for name in ("gender", "language", "licence"):
        known = Counter(clip[name] for clip in clips if clip[name])
        label = found["labels"][name]
        assert (label["known"], label["unknown"]) == (sum(known.values()), len(clips) - sum(known.values()))
        assert label["values"] == dict(known)
    assert found["splits"]["train"]["clips"] == 24
    assert found["duplicates"] == {"videos_with_several_names": 1, "names_too_many": 1}
    assert set(found["identical_vectors"].values()) == {0}
    quality = [face["quality"] for face in faces]
    measured = found["measures"]["face quality"]
    assert measured["counts"] == np.histogram(quality, measured["edges"])[0].tolist()
    assert np.isclose(measured["mean"], np.mean(quality))
    noise = found["measures"]["signal to noise, dB"]
    assert noise["unknown"] == sum(voice["snr_db"] is None for voice in voices) > 0
    assert noise["count"] + noise["unknown"] == len(voices)


def test_reasons_beyond_the_counted_ones_are_summed_up(new_uri):
    store = Store.create(new_uri(), FACES, VOICES)
    words = ["".join(letters) for letters in itertools.product("abcdef", repeat=3)]  # 216
    failed = [video(number, clips=0).video | {"state": "failed", "reason": word} for number, word in enumerate(words)]
    store.commit([VideoRows(row) for row in failed])
    reasons = stats(store.uri).videos.reasons["failed"]
    assert next(iter(reasons.items())) == ("other", len(words) - MOST_KINDS)
    assert len(reasons) == MOST_VALUES


def test_the_page_says_what_is_unknown(world, tmp_path):
    stats(world.uri, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "language" in text
    assert "unknown for 32" in text
    assert "Unknown for every clip: age, nationality, licence, consent." in text


def test_an_empty_store_has_figures_too(tmp_path):
    store = Store.create(str(tmp_path / "empty"), FACES, VOICES)
    found = stats(store.uri, tmp_path / "page.html")
    assert (found.clips.count, found.people.count) == (0, 0)
    card(store.uri, tmp_path / "card")


def test_the_card_says_what_the_store_knows_and_asks_for_the_rest(world, tmp_path):
    card(world.uri, tmp_path)
    markdown, page = (tmp_path / "README.md").read_text(), (tmp_path / "card.html").read_text()
    for said in (
        "48 clips",
        "dlib/resnet-v1-128/crop1",
        "| language | 16 | 32 | en (16) |",
        "rate_hz: 25",
        "cut off at",
    ):
        assert said in markdown
    assert "Licence: unknown for every clip." in markdown
    asked = re.findall(r"TO FILL IN[^:]*: (.*?)\.?(?:$|<)", markdown, re.MULTILINE)
    assert len(asked) == 4
    assert page.count("<mark>TO FILL IN</mark>") == 4
    assert all(question.partition("'")[0] in page for question in asked)
    for heading in re.findall(r"^## (.*)$", markdown, re.MULTILINE):
        assert f"<h2>{heading}</h2>" in page


def test_the_card_begins_with_what_the_hub_reads(world, tmp_path):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    card(world.uri, tmp_path)
    data = hub.DatasetCard.load(tmp_path / "README.md").data.to_dict()
    clips = world.query("clips", ["split", "language", "licence"]).to_pylist()
    assert data["license"] == "unknown"
    assert data["language"] == sorted({clip["language"] for clip in clips} - {None})
    assert data["size_categories"] == ["n<1K"]
    (config,) = data["configs"]
    assert config["data_files"] == [
        {"split": name, "path": f"data/{name}-*.parquet"} for name in sorted({clip["split"] for clip in clips})
    ]


def test_a_licence_is_an_identifier_of_the_hub_or_has_a_name():
    def rights(*licences):
        head = yaml.safe_load(front_matter(5_000, ["train"], licences, ["en"]).split("---\n")[1])
        return head["license"], head.get("license_name")

    assert rights("CC BY 4.0") == ("cc-by-4.0", None)
    assert rights("made up") == ("other", "made-up")
    assert rights("CC BY 4.0", None) == ("other", "cc-by-4.0")  # some clips have none
    assert rights("CC BY 4.0", "mit") == ("other", "several")
    assert rights(None) == rights() == ("unknown", None)
