"""The reason why an item of a job failed, and the tracebacks of defects, in the file that the item's row names."""

import hashlib
import traceback
from dataclasses import dataclass
from pathlib import Path

from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.progress import warn
from vclip.errors import InputError
from vclip.files import fitting

FOLDER = "errors"
# Everything else is the failure of one item; panics of libraries in Rust are no `Exception`.
ENDS_THE_JOB = (InputError, KeyboardInterrupt, SystemExit, GeneratorExit)


@dataclass(frozen=True)
class Failure:
    """Why there is no result for an item of a job.

    What was raised has a traceback as well, which `Tracebacks` keeps in a file. The reason of a defect, in this
    package or in a library, ends in its name: "internal error: IndexError: out of range (see errors/3fa9c1d2.txt)".
    Errors raised at the same place share one file, however many items they fail.
    """

    reason: str  # one line
    traceback: str = ""  # of what was raised
    file: str = ""  # where the traceback belongs in the output of the job

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", " ".join(self.reason.splitlines()))  # names may hold line breaks

    @classmethod
    def of_defect(cls, error: BaseException) -> "Failure":
        """Returns the failure of an item that raised an unexpected error."""
        summary = _first_line(f"internal error: {type(error).__name__}: {error}")
        file = _file_of(error)
        return cls(f"{summary} (see {file})", "".join(traceback.format_exception(error)), file)

    @classmethod
    def of_input(cls, reason: str, error: Exception) -> "Failure":
        """Returns the failure of an item that cannot be used, for a reason that says what is wrong with it."""
        return cls(_first_line(reason), "".join(traceback.format_exception(error)), _file_of(error))

    @property
    def is_defect(self) -> bool:
        """Whether the error was unexpected."""
        return self.reason.endswith(f"(see {self.file})")


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def _file_of(error: BaseException) -> str:
    digest = hashlib.sha256(repr([(type(error).__name__, *_places(error))]).encode()).hexdigest()[:8]
    return f"{FOLDER}/{digest}.txt"


def _places(error: BaseException) -> list[tuple[str, int | None]]:
    """Returns file and line of every call on the way to an error and to what caused it."""
    places: list[tuple[str, int | None]] = []
    seen: BaseException | None = error
    while seen is not None:
        places += [(frame.filename, frame.lineno) for frame in traceback.extract_tb(seen.__traceback__)]
        seen = seen.__cause__ or seen.__context__
    return places


class Tracebacks:
    """Writes the tracebacks of a job's failures, one file for each place that raised.

    Args:
        where: the folder, or bucket prefix, of the job; it is created with the first traceback.
        config: the limits of remote files.
    """

    def __init__(self, where: str, config: RemoteConfig):
        self._where, self._config = where, config
        self._kept: set[str] = set()

    def keep(self, failure: Failure, item: str) -> None:
        """Writes the traceback of a failure unless that of its place is kept already.

        A traceback that cannot be written is printed on stderr; it does not end the job.

        Args:
            failure: one without a traceback is ignored.
            item: the name of the item that failed, for the head of the file.
        """
        if not failure.traceback or failure.file in self._kept:
            return
        self._kept.add(failure.file)
        text = f"{item}\n{failure.reason}\n\n{failure.traceback}"
        try:
            output = Output(self._where, self._config)
            output.write(failure.file, [text.encode("utf-8", "backslashreplace")])
            if failure.is_defect:
                warn(f"internal error at {item}: its traceback is in {output.address(failure.file)}")
        except InputError as error:
            warn(f"{error}; the traceback that should be there:\n{text}")


def run_folder(store_uri: str) -> str:
    """Returns the folder, or bucket prefix, beside a store in which its jobs leave reports and tracebacks."""
    if "://" in store_uri:
        return f"{store_uri.rstrip('/')}.runs"
    store = Path(store_uri)
    return str(store.with_name(fitting(store.name, ".runs")))
