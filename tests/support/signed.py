"""What C2PA's own reader says of a file that a door of the toolkit wrote."""

import io
import json
from typing import Any

import c2pa

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def signed_manifest(content: bytes, media_type: str = "audio/wav") -> dict[str, Any]:
    """Returns the manifest in the content of a file, which the reader must find valid."""
    with c2pa.Reader(media_type, io.BytesIO(content)) as reader:
        assert reader.get_validation_state() == "Valid"
        report = json.loads(reader.json())
    return report["manifests"][report["active_manifest"]]


def source_of(manifest: dict[str, Any]) -> str:
    """Returns the digital source type that a manifest states."""
    (action,) = manifest["assertions"][0]["data"]["actions"]
    return action["digitalSourceType"].removeprefix(SOURCE_TYPES)
