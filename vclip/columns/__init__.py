"""Column functions, opened by a spec string (see `vclip.registry`).

dnsmos                      voices.dnsmos: the mean opinion score, 1 to 5, that DNSMOS predicts for the speech
transcript                  voices.transcript and voices.spoken_language, by faster-whisper
python:MODULE:FACTORY       any importable factory of a `ColumnFunction`

Other packages register functions in the entry-point group `vclip.columns`.
"""

from vclip.columns.base import ColumnFunction, sample_rate_of
from vclip.columns.transcript import TranscriptConfig
from vclip.errors import InputError
from vclip.registry import Plugin, Registry

__all__ = ["COLUMN_FUNCTIONS", "ColumnFunction", "TranscriptConfig", "open_column_function", "sample_rate_of"]

COLUMN_FUNCTIONS: Registry[ColumnFunction] = Registry(
    "column function",
    "vclip.columns",
    ("table", "columns", "version", "__call__"),
    "vclip.columns.base.ColumnFunction",
    (
        Plugin(
            "dnsmos",
            "vclip.columns.dnsmos:Dnsmos",
            about="the mean opinion score that DNSMOS predicts",
            licence="MIT",
        ),
        Plugin(
            "transcript",
            "vclip.columns.transcript:Transcript",
            about="text and language of the speech, by faster-whisper",
            licence="of the weights",
        ),
    ),
)


def open_column_function(
    spec: str, device: str | None = None, transcript: TranscriptConfig | None = None
) -> ColumnFunction:
    """Returns the column function that a spec opens.

    Args:
        spec: see this module.
        device: a torch device, for functions that use one.
        transcript: the section `transcript` of the configuration, for the functions whose factory has a parameter of
            this name.

    Raises:
        InputError: the name is unknown, a package or weights are missing, or its version is no text.
    """
    function = COLUMN_FUNCTIONS.open(spec, device=device, transcript=transcript or TranscriptConfig())
    if not isinstance(function.version, str):
        kind = type(function.version).__name__
        raise InputError(
            f"column function '{spec}': its version is {function.version} of type {kind}, expected a str"
        )
    return function
