"""Parts of SQL filters for LanceDB."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stores.errors import nearest, reason

_IN_LIST = 1000  # names or numbers to one list


def rows_of(runs: Mapping[str, Sequence[str]]) -> str:
    """Returns the SQL filter of the rows of these videos: run_id -> video_ids."""
    return " OR ".join(
        f"(run_id = {quoted(run)} AND video_id IN ({', '.join(map(quoted, videos))}))" for run, videos in runs.items()
    )


def in_lists(names: Iterable[str]) -> Iterator[str]:
    """Yields the contents of SQL lists, with at most 1,000 quoted names each."""
    names = list(names)
    for start in range(0, len(names), _IN_LIST):
        yield ", ".join(map(quoted, names[start : start + _IN_LIST]))


def in_numbers(numbers: Sequence[int]) -> Iterator[str]:
    """Yields the contents of SQL lists, with at most 1,000 numbers each."""
    for start in range(0, len(numbers), _IN_LIST):
        yield ", ".join(map(str, numbers[start : start + _IN_LIST]))


def quoted(text: str) -> str:
    """Returns an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def explained(error: Exception, names: Sequence[str]) -> str:
    """Returns why LanceDB refused a filter, in words for the user.

    Args:
        error: the error that LanceDB raised.
        names: the columns of the table.
    """
    text = reason(error)
    _, found, rest = text.partition("No field named ")
    if found:
        name = rest.split(". Valid fields")[0].strip('"`. ')
        return f"unknown column '{name}'; {nearest(name, names)}"
    return f"not SQL that LanceDB understands: {text}; expected as in \"end_s - start_s > 2 AND gender = 'f'\""
