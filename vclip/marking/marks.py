"""The marks of one run's speech: a signature, a watermark and a spoken announcement, as its configuration asks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from vclip.config import Settings
from vclip.errors import InputError
from vclip.marking.signature import INSTALL, Signer, open_signer, self_made_signer
from vclip.marking.watermark import open_watermark

PAUSE_S = 0.5  # between the announcement and the text


class MarksConfig(Settings):
    """What marks synthetic speech, beside the label that every file carries."""

    signature: Literal["auto", "c2pa", "none"] = Field(
        default="auto", description="C2PA: sign, do not sign, or (auto) sign if c2pa-python is installed"
    )
    certificate: str = Field(
        default="", description="PEM file of the signer's certificate and its issuers'; empty: a self-made one"
    )
    key: str = Field(default="", description="PEM file of its private key, not encrypted")
    timestamp: str = Field(default="", description="address of a time stamp authority; empty: none, and no network")
    watermark: str = Field(default="", description="an imperceptible watermark, as perth; empty: none")
    announce: bool = Field(default=False, description="whether speech begins with the announcement")
    announcement: str = Field(default="This is a synthetic voice.", description="what is said then")
    announcement_language: str = Field(default="en", description="the language of the announcement")


@dataclass(frozen=True)
class Marks:
    """Marks that can be sent to other processes; the watermark is opened where it is first used."""

    signer: Signer | None = None
    watermark: str = ""
    announcement: str = ""
    announcement_language: str = "en"

    @classmethod
    def of(cls, config: MarksConfig) -> "Marks":
        """Returns the marks of a configuration.

        Raises:
            InputError: a package is missing, a file cannot be used, or the announcement is empty.
        """
        if config.announce and not config.announcement.strip():
            raise InputError("marks.announcement: found an empty text, expected something to say")
        if config.watermark:
            open_watermark(config.watermark)
        announcement = config.announcement if config.announce else ""
        return cls(_signer(config), config.watermark, announcement, config.announcement_language)

    def record(self) -> dict[str, Any]:
        """Returns the entry `marks` of the provenance: each mark, or None."""
        watermark = open_watermark(self.watermark) if self.watermark else None
        return {
            "signature": self.signer.name if self.signer else None,
            "watermark": {"name": watermark.name, **watermark.made_of} if watermark else None,
            "announcement": self.announcement or None,
        }

    def notice(self) -> str:
        """Returns what the user should know about the signature, or ""."""
        if self.signer is None:
            return f"the speech is not signed; to sign it, {INSTALL} and set marks.certificate and marks.key"
        if self.signer.self_made:
            return (
                "the speech is signed with a SELF-MADE CERTIFICATE, which shows that a file is unchanged and not who "
                "made it; before you publish speech, set marks.certificate and marks.key"
            )
        return ""

    def parts(
        self, say: Callable[[str, str], Iterator[np.ndarray]], text: str, language: str, sample_rate_hz: int
    ) -> Iterator[np.ndarray]:
        """Yields speech in parts (samples,), with the announcement before it and the watermark in it.

        Args:
            say: the voice: yields the parts of the speech of a text in a language.
            text, language: the text and its language.
            sample_rate_hz: the rate of the parts.

        Raises:
            InputError: as `say` does.
        """
        parts = say(text, language)
        if self.announcement:
            notice = say(self.announcement, self.announcement_language)
            parts = _after(notice, np.zeros(round(PAUSE_S * sample_rate_hz), np.float32), parts)
        if self.watermark:
            watermark = open_watermark(self.watermark)
            return (watermark.embed(part, sample_rate_hz) for part in parts)
        return parts


NO_MARKS = Marks()


def _after(notice: Iterator[np.ndarray], pause: np.ndarray, text: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield from notice
    yield pause
    yield from text


def _signer(config: MarksConfig) -> Signer | None:
    given = [name for name in ("certificate", "key") if getattr(config, name)]
    if config.signature == "none":
        return None
    if len(given) == 1:
        raise InputError(f"marks.{given[0]}: found it alone, expected marks.certificate and marks.key")
    if given:
        return open_signer(config.certificate, config.key, config.timestamp)
    try:
        return self_made_signer(config.timestamp)
    except InputError:
        if config.signature == "c2pa" or config.timestamp:
            raise
        return None
