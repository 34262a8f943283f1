"""Computing vectors and columns again, by stand-ins that need no weights."""

from functools import partial
from typing import Any, ClassVar

import numpy as np

from benchmarks.reliability.operations import Operation
from benchmarks.reliability.operations.starts import empty, opened, place, state
from pipelines.config import Config
from pipelines.maintenance.columns import fill
from pipelines.maintenance.reembed import embed
from stores.errors import StoreError
from stores.maintenance.columns import drop_filled
from tests.support.backfill_world import Engine, decodable
from vclip.config import load


class FirstEncoder:
    """Describes an image by four of its statistics."""

    space, dim, factor = "fake/face", 4, 1.0

    def __init__(self, device: str | None = None):
        pass

    def embed(self, media: list[np.ndarray]) -> np.ndarray:
        """Returns (n, 4) float32."""
        rows = [[one.mean(), one.std(), one.max(), self.factor * one.size] for one in media]
        return np.array(rows, np.float32)


class SecondEncoder(FirstEncoder):
    """The same space with other weights, as after a repair."""

    factor = 2.0


class Brightness:
    """Fills `faces.brightness` and `faces.dark`; the argument is the version of the values."""

    table = "faces"
    columns: ClassVar = {"brightness": float, "dark": bool}

    def __init__(self, version: str):
        self.version = version

    def __call__(self, media: list[np.ndarray]) -> dict[str, list[Any]]:
        """Returns brightness times version, and whether it is low; None of every bright crop."""
        means = [float(one.mean()) for one in media]
        return {
            "brightness": [None if mean > 130 else mean * int(self.version) for mean in means],
            "dark": [None if mean > 130 else mean < 127 for mean in means],
        }


def with_media(where: str) -> None:
    """Makes a store of two videos whose images and audio can be decoded."""
    empty(where)
    store = opened(where)
    for number in (1, 2):
        store.commit([decodable(number)])


def embedded(where: str) -> None:
    """Makes a store with vectors of the first encoder."""
    with_media(where)
    embed_with(where, FirstEncoder)


def filled(where: str) -> None:
    """Makes a store with columns of the first version."""
    with_media(where)
    fill_with(where, 1)


def embed_with(where: str, encoder: type[FirstEncoder], **options: Any) -> None:
    """Adds the vectors of an encoder."""
    config = load(Config, None, (f"encoders.face=python:{__name__}:{encoder.__name__}",))
    embed(place(where), config, ["faces"], engine=Engine(), task_rows=8, write_rows=8, **options)


def fill_with(where: str, version: int) -> None:
    """Fills the columns of `Brightness`."""
    spec = f"python:{__name__}:Brightness:{version}"
    fill(place(where), spec, Config(), again=True, engine=Engine(), task_rows=8, write_rows=8)


def drop_columns(where: str) -> None:
    """Drops the columns of `Brightness` unless they are gone."""
    try:
        drop_filled(opened(where), "brightness")
    except StoreError as error:
        if "no such filled column" not in str(error):
            raise


OPERATIONS = [
    Operation("embed", with_media, partial(embed_with, encoder=FirstEncoder), state),
    Operation("embed --again", embedded, partial(embed_with, encoder=SecondEncoder, again=True), state),
    Operation("embed --replace", with_media, partial(embed_with, encoder=FirstEncoder, replace=True), state, False),
    Operation("embed --column", with_media, partial(fill_with, version=1), state),
    Operation("embed --column --again", filled, partial(fill_with, version=2), state),
    Operation("embed --column --drop", filled, drop_columns, state),
]
