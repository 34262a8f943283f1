"""`vclip embed --column`: fill columns of a store with what a column function computes from its media, on Ray."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.cluster.actors import is_lasting
from pipelines.cluster.failures import Failure
from pipelines.config import Config
from pipelines.ingest.embed import decode_image
from pipelines.maintenance.backfill import (
    WRITE_ROWS,
    BackfillJob,
    Compute,
    Computed,
    How,
    Prepared,
    RayEngine,
    check_media,
)
from pipelines.progress import say
from stores import Store
from stores.maintenance.backfill import KEY
from stores.maintenance.columns import REASON, TYPES, ColumnFill, FailedRows, Outcome
from stores.schema import EMBEDDED
from vclip.audio import read_audio, resample
from vclip.columns import (
    COLUMN_FUNCTIONS,
    ColumnFunction,
    TranscriptConfig,
    open_column_function,
    sample_rate_of,
)
from vclip.encoders import gains_from_gpu
from vclip.errors import InputError

TASK_ROWS = 16  # a recogniser takes seconds for each


@dataclass(frozen=True)
class FillResult:
    """What was filled, by this run and by those that it continued."""

    store: str
    columns: list[str]  # as in voices.dnsmos
    function: str
    version: str
    filled: int  # rows
    unknown: int  # rows of which the function could not tell
    failed: int  # rows
    failures: list[FailedRows]  # by reason
    took_s: float


def fill(
    store_uri: str,
    spec: str,
    config: Config,
    again: bool = False,
    *,
    engine: RayEngine | None = None,
    task_rows: int = TASK_ROWS,
    write_rows: int = WRITE_ROWS,
) -> FillResult:
    """Fills the columns of a column function in all rows that lack a value of its version.

    A row on which the function raises, or whose medium cannot be decoded, is null and counts as failed.

    Args:
        store_uri: the store.
        spec: opens the function, see `vclip.columns`.
        config: the sections `transcript` and `remote`, and `ingest.embed_actors`, `ingest.embed_gpus` and
            `batch.task_cpus`.
        again: do all rows again.
        engine: runs the tasks; on Ray where left out.
        task_rows: rows that one task does.
        write_rows: values that are written at a time.

    Raises:
        InputError: the function cannot be opened, or failed on every row of a column that is not there yet; then
            nothing is written.
        StoreError: there is no store, a job is writing, or a column cannot be named so.
    """
    started_s, store = time.monotonic(), Store.open(store_uri)
    function = open_column_function(spec, "cpu", config.transcript)
    job = _ColumnJob(store, spec, function, How(config, engine or RayEngine(), task_rows, write_rows), again)
    job.run()
    names, outcome = [f"{function.table}.{name}" for name in function.columns], job.outcome
    found = (outcome.filled, outcome.unknown, outcome.failed, outcome.failures)
    return FillResult(store_uri, names, spec, function.version, *found, time.monotonic() - started_s)


class _ColumnJob(BackfillJob):
    """The filling of the columns of one function."""

    def __init__(self, store: Store, spec: str, function: ColumnFunction, how: How, again: bool):
        super().__init__(store, function.table, ", ".join(function.columns), how)
        if function.table not in EMBEDDED:
            raise InputError(f"{spec}: computes from the media of '{function.table}', expected faces or voices")
        self._spec, self._function = spec, function
        self._fill = ColumnFill(
            store, function.table, function.columns, COLUMN_FUNCTIONS.record(spec), function.version, again
        )
        check_media(store, function.table, any, "a column function needs them")
        if getattr(function, "needs_gpu", False) and not how.engine.gpus():
            raise InputError(f"{spec}: asked to compute on a GPU, but the cluster has none; choose the device 'cpu'")
        self.outcome = Outcome(0, 0, [])

    def collection(self) -> ColumnFill:
        return self._fill

    def prepare(self) -> Callable[[bytes], np.ndarray]:
        if self.table == "faces":
            return decode_image
        return partial(decode_samples, sample_rate_hz=sample_rate_of(self._function))

    def opener(self) -> Callable[[str], Compute]:
        return partial(_open_filling, self._spec, self.how.config.transcript)

    def gains(self) -> bool:
        if not gains_from_gpu(self._function):
            say(f"{self._spec} does not gain from GPUs, so the tasks compute")
        return gains_from_gpu(self._function)

    def lost(self, keys: Sequence[str], failure: Failure) -> Computed:
        return _as_rows(self._function, {}, dict.fromkeys(keys, failure))

    def refuse(self, failed: Mapping[str, Failure], rows: int) -> None:
        outcome = self._fill.outcome()
        if outcome.failures and not outcome.filled and not outcome.unknown and not self._fill.exists:
            self._fill.discard()
            worst = outcome.failures[0]
            raise InputError(
                f"{self._spec}: failed on all {outcome.failed} {self.table}, on {worst.example} because: "
                f"{worst.reason}; nothing was written"
            )

    def command(self) -> dict[str, Any]:
        named = {"column": self._spec, "version": self._function.version}
        return {"job": "embed", "table": self.table, **named}

    def summary(self) -> dict[str, Any]:
        self.outcome = self._fill.outcome()
        return asdict(self.outcome) | {"failed": self.outcome.failed}


def decode_samples(data: bytes, sample_rate_hz: int) -> np.ndarray:
    """Returns the samples of a FLAC file as stored, (samples,) float32 at this rate."""
    return resample(*read_audio(data), sample_rate_hz).astype(np.float32)


def _open_filling(spec: str, transcript: TranscriptConfig, device: str) -> Compute:
    function = open_column_function(spec, device, transcript)
    return lambda parts: [_filled(function, part) for part in parts]


def _filled(function: ColumnFunction, part: Prepared) -> Computed:
    values: dict[str, list[Any]] = {}
    failed = dict(part.failed)
    try:
        values = dict(zip(part.keys, _values(function, part.media), strict=True))
    except (Exception, SystemExit) as error:  # whatever a function raises; one that exits must not end the worker
        if is_lasting(error):
            raise
        for key, medium in zip(part.keys, part.media, strict=True):
            try:
                (values[key],) = _values(function, [medium])
            except InputError as one:
                failed[key] = Failure.of_input(str(one), one)
            except (Exception, SystemExit) as one:
                failed[key] = Failure.of_defect(one)
    return _as_rows(function, values, failed)


def _values(function: ColumnFunction, media: list[np.ndarray]) -> list[list[Any]]:
    """Returns the values of each medium, one for each column; raises InputError if they are not as announced."""
    if not media:
        return []
    found = function(media)
    if not isinstance(found, Mapping) or set(found) != set(function.columns):
        given = f"columns {', '.join(found)}" if isinstance(found, Mapping) else f"a {type(found).__name__}"
        raise InputError(f"the function returned {given}, expected values of {', '.join(function.columns)}")
    columns = []
    for name, kind in function.columns.items():
        try:
            of_column = pa.array([_plain(value) for value in found[name]], TYPES[kind]).to_pylist()
        except (TypeError, ValueError, OverflowError) as error:  # Arrow's are of these types too
            raise InputError(
                f"the function returned values of {name} that are not each None or of type {kind.__name__} ({error})"
            ) from None
        if len(of_column) != len(media):
            raise InputError(f"the function returned {len(of_column)} values of {name}, expected {len(media)}")
        columns.append(of_column)
    return [list(values) for values in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic | np.ndarray) else value
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()  # as the store keeps other texts
    # In SQL NaN is greater than every number; what could not be measured must pass no filter.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _as_rows(
    function: ColumnFunction, values: Mapping[str, Sequence[Any]], failed: Mapping[str, Failure]
) -> Computed:
    kinds = (
        {KEY: pa.string()} | {name: TYPES[kind] for name, kind in function.columns.items()} | {REASON: pa.string()}
    )
    known = [dict(zip(kinds, (key, *of, None), strict=True)) for key, of in values.items()]
    rows = known + [{KEY: key, REASON: failure.reason} for key, failure in failed.items()]
    return Computed(pa.Table.from_pylist(rows, pa.schema(kinds.items())), failed)
