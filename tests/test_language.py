"""The field's terms, and no other word for the same thing, in file names, source, help, pages and docs.

Each line of GLOSSARY is a term and the words that it replaced. What stands on users' disks (columns, keys of JSON
files, options of configurations) keeps its name; ON_DISK lists where the source must still say such a word.
"""

import re

import pytest

from tests.support import ROOT
from tests.support.vclip_command import COMMANDS

GLOSSARY = {
    "frame (image, photo)": "pictures?",
    "audio, samples": "sounds?(?! (?:like|alike|as|natural|best|good))",
    "active speaker": "who is heard|lip contrast",
    "speaker change, overlap": "one_voice|one voice network",
    "candidate, segment": "stretch(?:es)?",
    "drop reason, outcome": "fates?",
    "face patches": "glimpses?",
    "retry": "persist(?:s|ed|ence)?",
    "streaming statistics": "tally|tallies",
    "telemetry, rate": "pace",
    "byte scan": "sought",
    "tombstones": "buried|stones",
    "deletion plan": "doomed",
    "clustering, pseudo-identities": "(?<![Aa]verage[ -])(?<!single )linkage|likeness",
    "subgroups": "strata|stratum",
    "predict": "fore(?:told|tells?|telling)",
    "committed, visible": "(?:un)?vouch(?:es|ed)?",
    "drawing, overlay": "ink|film",
    "plain statements": "whom to ask|is told of|Returns that of|Returns those of|stands? there|what became of it",
}
# Keys of stored rows, of `--json` and of configurations.
ON_DISK = {
    "pipelines/analysis/clusters.py": ("linkage",),
    "pipelines/inspection/job.py": ("fate",),
    "pipelines/extraction/pipeline.py": ("stretches", "pictures"),
    "pipelines/ingest/report.py": ("stretches",),
    "vclip/speakers/signature.py": ("foretold",),
    "pipelines/ingest/importers/media.py": ("picture", "pictures", "sound", "sounds"),
    "pipelines/extraction/config.py": ("picture",),
    "pipelines/extraction/faces/photos.py": ("picture",),
    "pipelines/extraction/video/decode.py": ("picture",),
    "pipelines/extraction/video/probe.py": ("picture",),
    "pipelines/maintenance/check.py": ("sound",),
    "pipelines/quickstart/sample.py": ("film",),  # in a sentence that the sample speaks
}
STEMS = {
    *(
        "fates",
        "tally",
        "known",
        "identify",
        "persistence",
        "resident",
        "traces",
        "speaking",
        "contrast",
        "stretches",
    ),
    *("one_voice", "glimpses", "ink", "film", "linkage", "likeness", "people", "listed", "strata", "ranks", "pace"),
    *("upkeep", "doomed", "utils", "helpers", "common", "manager"),
}
FOLDERS = ("vclip", "stores", "pipelines", "docs", "configs")
SUFFIXES = {".py", ".md", ".html", ".css", ".js", ".yaml"}
PAGES = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in SUFFIXES and not path.is_symlink()
]
PAGES.append(ROOT / "README.md")


def _found(words, text):
    """The (line number, word) of each whole word, also as a part of an identifier."""
    # A word ends where no letter follows; `_` and digits part words, so `_fates` and `fates_of` count.
    pattern = re.compile(rf"(?<![A-Za-z])(?:{words})(?![A-Za-z])")
    return [(text.count("\n", 0, m.start()) + 1, m[0]) for m in pattern.finditer(text)]


@pytest.mark.parametrize("term", GLOSSARY)
def test_a_thing_has_the_fields_name(term):
    found = [
        f"{name}:{line}: '{word}' -> {term}"
        for path in PAGES
        if (name := str(path.relative_to(ROOT)))
        for line, word in _found(GLOSSARY[term], path.read_text())
        if word not in ON_DISK.get(name, ())
    ]
    assert not found, "\n".join(found)


def test_what_is_excepted_is_there():
    for name, words in ON_DISK.items():
        text = (ROOT / name).read_text()
        for word in words:
            assert _found(re.escape(word), text), f"{name} does not say '{word}': take it off the list"


def test_help_has_the_fields_terms():
    for name, command in COMMANDS.items():
        text = " ".join([command.help or "", *(getattr(option, "help", "") or "" for option in command.params)])
        for term, words in GLOSSARY.items():
            found = {word for _, word in _found(words, text)}
            assert not found, (name, term)


def test_files_are_named_by_what_they_are():
    assert not [path for path in PAGES if path.stem in STEMS]


def test_old_words_are_seen():
    """So that the tests above can fail."""
    assert _found("fates?", "of_fates = 1\n_fate") == [(1, "fates"), (2, "fate")]
    assert not _found("stones", "tombstones")
    assert not _found(GLOSSARY["audio, samples"], "how natural speech sounds like")
