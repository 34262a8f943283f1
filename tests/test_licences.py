"""docs/licences.md has a row for every network that a spec can name, and names every network that is shipped."""

import re

import pytest

from pipelines.extraction.active_speaker.base import ACTIVE_SPEAKER
from pipelines.extraction.faces.detectors import DETECTORS
from tests.support import ROOT
from vclip.columns import COLUMN_FUNCTIONS
from vclip.encoders import FACE_ENCODERS, VOICE_ENCODERS
from vclip.marking.watermark import WATERMARKS
from vclip.tts import TTS_BACKENDS
from vclip.tts.cloning import CLONING_TTS

PAGE = (ROOT / "docs" / "licences.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
REGISTRIES = (
    FACE_ENCODERS,
    VOICE_ENCODERS,
    DETECTORS,
    ACTIVE_SPEAKER,
    TTS_BACKENDS,
    CLONING_TTS,
    WATERMARKS,
    COLUMN_FUNCTIONS,
)
BUILT_IN = sorted({plugin.name for kind in REGISTRIES for plugin in kind.plugins() if not plugin.package})


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_spec_has_a_row_with_a_licence_and_its_training_data(name):
    found = [row for row in ROWS if name in re.findall(r"`([\w-]+)`", row[0])]
    assert len(found) == 1, f"docs/licences.md: found {len(found)} rows of `{name}`, expected one"
    assert all(found[0][1:3])


def test_networks_that_the_packages_ship_are_named():
    shipped = [path.name for folder in ("vclip", "pipelines") for path in (ROOT / folder).rglob("*.safetensors")]
    assert shipped
    assert [name for name in shipped if name not in PAGE and f"`{name.partition('.')[0]}`" not in PAGE] == []
