"""Parts of SQL filters for LanceDB."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stores.errors import StoreError, nearest, reason

_IN_LIST = 1000  # names to one list


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


def check_brackets(table: str, where: str) -> None:
    """Raises StoreError if brackets or quotes of a filter do not match; Lance ignores the text after a stray one."""
    depth, quote = 0, ""
    for character in where:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote = character
        else:
            depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    if depth or quote:
        raise StoreError(f"{table}: the brackets or quotes of the filter do not match: {where}")
