"""Pieces of the SQL that LanceDB takes as filters."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from stores.errors import StoreError, nearest, reason

_IN_LIST = 1000  # names to one list


def rows_of(runs: Mapping[str, Sequence[str]]) -> str:
    """Returns the SQL of the rows of these runs' (run_id ->) video_ids."""
    return " OR ".join(
        f"(run_id = {quoted(run)} AND video_id IN ({', '.join(map(quoted, videos))}))" for run, videos in runs.items()
    )


def in_lists(names: Iterable[str]) -> Iterator[str]:
    """Yields the insides of SQL lists, of as many names each as a query takes well."""
    names = list(names)
    for start in range(0, len(names), _IN_LIST):
        yield ", ".join(map(quoted, names[start : start + _IN_LIST]))


def quoted(text: str) -> str:
    """Returns an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def explained(error: Exception, names: Sequence[str]) -> str:
    """Returns what is wrong with a filter, of which LanceDB says it in its own way.

    Args:
        error: LanceDB's.
        names: the table's columns.
    """
    text = reason(error)
    _, found, rest = text.partition("No field named ")
    if found:
        name = rest.split(". Valid fields")[0].strip('"`. ')
        return f"unknown column '{name}'; {nearest(name, names)}"
    return f"not SQL that LanceDB understands: {text}; expected as in \"end_s - start_s > 2 AND gender = 'f'\""


def check_brackets(table: str, where: str) -> None:
    """Raises StoreError if brackets or quotes of a filter do not match: Lance ignores what follows a stray one."""
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
