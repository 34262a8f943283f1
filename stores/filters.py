"""A user's SQL filter: parsed by DuckDB, and written again from the tree that DuckDB found.

A filter becomes part of a longer one, as in `(FILTER) AND NOT (uncommitted)`. Its text is never pasted there: quotes
in comments, dollar quotes or a stray bracket could close the bracket around it, and two parsers can disagree about
where a string ends. What LanceDB receives holds only what this module writes: columns, constants, operators that
LanceDB knows, and calls of functions.
"""

import json
import re
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, cast

import duckdb

from stores.errors import StoreError, nearest
from stores.sql import quoted

EXAMPLE = "expected as in \"end_s - start_s > 2 AND gender = 'f'\""
SHOWN = 200  # characters of a filter in an error
DEEPEST = 1000  # brackets within each other, as DuckDB allows; it takes 10 s for 5,000 that are never closed
# Lists of ids, as this toolkit writes them, are one expression whatever they hold, and may be long.
_LIST = re.compile(r"\w+ (?:[=<>] '[^'\\]*'|IN \('[^'\\]*'(?:, '[^'\\]*')*\))")
_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_COMPARISONS = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "<>",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_LIKES = {
    "~~": "LIKE",
    "!~~": "NOT LIKE",
    "~~*": "ILIKE",
    "!~~*": "NOT ILIKE",
    "like_escape": "LIKE",
    "ilike_escape": "ILIKE",
}
_ARITHMETIC = {"+": 5, "-": 5, "||": 5, "*": 6, "/": 6, "%": 6}  # operator -> how strongly it binds
_OR, _AND, _NOT, _COMPARED, _ATOM = 1, 2, 3, 4, 9
_CALLS = {"regexp_matches": "regexp_like", "position": "strpos"}  # as DuckDB names them -> as LanceDB does
_TYPES = {
    "bool": "boolean", "text": "string", "varchar": "string", "integer": "int", "blob": "binary", "real": "float",
} | {
    name: name
    for name in (
        "boolean", "string", "tinyint", "smallint", "int", "bigint", "float", "double", "date", "timestamp",
        "datetime", "binary", "decimal",
    )
}  # fmt: skip


def parsed(
    where: str,
    columns: Sequence[str],
    table: str,
    functions: Collection[str] | None = None,
    longest: int | None = None,
) -> str:
    """Returns a user's filter as SQL for LanceDB: one expression, whatever is written around it in brackets.

    Args:
        where: the filter.
        columns: the columns of the table; their names are found whatever the case of their letters.
        table: the table, for the messages.
        functions: the functions that the filter may call; None for all.
        longest: the number of characters that the filter may have; None for any.

    Raises:
        StoreError: the filter is not one SQL expression, or holds something that LanceDB's filters cannot.
    """
    if longest is not None and len(where) > longest:
        raise StoreError(f"{table}: a filter of {len(where):,} characters, expected at most {longest:,}")
    if _LIST.fullmatch(where):
        return where
    return _parsed(where, tuple(columns), table, None if functions is None else frozenset(functions))


@lru_cache(256)
def _parsed(where: str, columns: tuple[str, ...], table: str, functions: frozenset[str] | None) -> str:
    try:
        return _Writer(columns, table, functions).text(_tree(where), 0)
    except _UnsupportedError as error:
        shown = " ".join(where.split())
        shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."
        raise StoreError(f"{table}: filter `{shown}`: not SQL that LanceDB understands: {error}; {EXAMPLE}") from None
    except RecursionError:
        raise StoreError(f"{table}: the filter is nested too deeply; {EXAMPLE}") from None


class _UnsupportedError(ValueError):
    """A filter cannot be understood; the message says what was found."""


class _Parser(threading.local):
    """DuckDB's parser; each thread has its own connection."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"enable_external_access": "false", "threads": 1})


_parser = _Parser()


def _tree(where: str) -> Mapping[str, Any]:
    """Returns the tree of the only expression in a filter."""
    if (depth := _depth(where)) > DEEPEST:
        raise _UnsupportedError(f"found {depth:,} brackets within each other, expected at most {DEEPEST:,}")
    try:
        # A line of its own: a comment at the end of the filter ends with it.
        query = f"SELECT 1 FROM t WHERE {where}\n"
        (answer,) = cast(tuple[str], _parser.connection.execute("SELECT json_serialize_sql(?)", [query]).fetchone())
    except (duckdb.Error, UnicodeError) as error:
        raise _UnsupportedError(_first_line(error)) from None
    found = json.loads(answer)
    if found["error"]:
        if "Only SELECT" in found["error_message"]:
            raise _UnsupportedError("found several statements, expected one expression")
        raise _UnsupportedError(_first_line(found["error_message"]))
    node = found["statements"][0]["node"] if len(found["statements"]) == 1 else {}
    # What follows the expression, as ORDER BY or UNION, is elsewhere in the tree; nothing may be there.
    expression = node.get("where_clause")
    if not expression or {**node, "where_clause": None} != _plain_node():
        raise _UnsupportedError("found more than one expression")
    return expression


def _depth(where: str) -> int:
    """Returns how many round brackets are open at once, at most; those in strings do not count."""
    brackets = re.sub(r"[^()]", "", re.sub(r"'[^']*'", "", where))
    return max(accumulate(1 if bracket == "(" else -1 for bracket in brackets), default=0)


@lru_cache(1)
def _plain_node() -> dict[str, Any]:
    """Returns the tree of `SELECT 1 FROM t WHERE EXPRESSION` without the expression."""
    sql = "SELECT json_serialize_sql('SELECT 1 FROM t WHERE true')"
    (answer,) = cast(tuple[str], _parser.connection.execute(sql).fetchone())
    return {**json.loads(answer)["statements"][0]["node"], "where_clause": None}


class _Writer:
    """Writes the tree of an expression as SQL for LanceDB.

    Args:
        columns: the columns of the table.
        table: the table, for the messages.
        functions: the functions that may be called; None for all.
    """

    def __init__(self, columns: Sequence[str], table: str, functions: frozenset[str] | None):
        self._table = table
        self._columns = {name.lower(): name for name in columns} | {name: name for name in columns}
        self._functions = functions

    def text(self, tree: Mapping[str, Any], least: int) -> str:
        """Returns the SQL of a tree, in brackets where it binds less strongly than `least`."""
        written, strength = self._written(tree)
        return written if strength >= least else f"({written})"

    def _atom(self, tree: Mapping[str, Any]) -> str:
        return self.text(tree, _ATOM)

    def _written(self, tree: Mapping[str, Any]) -> tuple[str, int]:
        """Returns the SQL of a tree, and how strongly its operator binds."""
        kind, name = tree["class"], tree["type"]
        if kind == "COLUMN_REF":
            return self._column(tree["column_names"]), _ATOM
        if kind == "CONSTANT":
            return self._constant(tree["literal"])
        if kind == "CONJUNCTION":
            strength = _AND if name == "CONJUNCTION_AND" else _OR
            between = " AND " if strength == _AND else " OR "
            return between.join(self.text(child, strength + 1) for child in tree["children"]), strength
        if kind == "COMPARISON":
            return self._comparison(name, tree["left"], tree["right"]), _COMPARED
        if kind == "BETWEEN":
            value, low, high = (self._atom(tree[part]) for part in ("input", "lower", "upper"))
            return f"{value} BETWEEN {low} AND {high}", _COMPARED
        if kind == "OPERATOR":
            return self._operator(name, tree["children"])
        if kind == "FUNCTION":
            return self._function(tree)
        if kind == "CAST":
            of = "try_cast" if tree["try_cast"] else "CAST"
            return f"{of}({self.text(tree['child'], 0)} AS {self._type(tree['type_expr'])})", _ATOM
        raise _UnsupportedError(f"a filter holds no {name.replace('_', ' ').lower()}")

    def _column(self, path: Sequence[str]) -> str:
        if len(path) > 1 and path[0].lower() == self._table:  # as in SQL: table.column
            path = path[1:]
        first = self._columns.get(path[0], self._columns.get(path[0].lower(), path[0]))
        if any("`" in part for part in path):
            raise _UnsupportedError(f"no column is named {'.'.join(path)}")
        if first not in self._columns:
            hint = nearest(first, sorted(name for name in {*self._columns.values()} if not name.startswith("_")))
            if not hint.endswith("?"):
                hint += "; text stands in single quotes, as in gender = 'f'"
            raise StoreError(f"{self._table}: unknown column '{first}'; {hint}")
        return ".".join(f"`{part}`" for part in (first, *path[1:]))

    def _constant(self, literal: Mapping[str, Any]) -> tuple[str, int]:
        kind, text = literal["kind"], literal.get("text") or ""
        if kind == "STRING":
            return quoted(text), _ATOM
        if kind == "BOOLEAN" and text in ("true", "false"):
            return text, _ATOM
        if kind == "NULL_LITERAL":
            return "NULL", _ATOM
        number = text.replace("_", "")
        if kind in ("INTEGER", "NUMERIC") and _NUMBER.fullmatch(number):
            return number, _ARITHMETIC["-"] if number.startswith("-") else _ATOM
        if kind == "HEX" and re.fullmatch("[0-9a-fA-F]*", text):
            return f"x'{text}'", _ATOM
        raise _UnsupportedError(f"a constant {text}")

    def _comparison(self, name: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> str:
        if name in _COMPARISONS:
            return f"{self.text(left, _COMPARED + 1)} {_COMPARISONS[name]} {self.text(right, _COMPARED + 1)}"
        # `x IS TRUE` is a comparison of a cast.
        truth = right.get("literal", {}).get("text")
        boolean = left["class"] == "CAST" and left["type_expr"].get("type_name") == "BOOLEAN"
        if boolean and truth in ("true", "false") and name in ("COMPARE_NOT_DISTINCT_FROM", "COMPARE_DISTINCT_FROM"):
            no = "" if name == "COMPARE_NOT_DISTINCT_FROM" else "NOT "
            return f"{self._atom(left['child'])} IS {no}{truth.upper()}"
        raise _UnsupportedError("a filter holds no IS DISTINCT FROM")

    def _operator(self, name: str, children: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
        if name == "OPERATOR_NOT":
            return f"NOT {self._atom(children[0])}", _NOT
        if name in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"):
            return f"{self._atom(children[0])} {name.removeprefix('OPERATOR_').replace('_', ' ')}", _COMPARED
        if name == "COMPARE_IN":
            listed = ", ".join(self.text(child, 0) for child in children[1:])
            return f"{self._atom(children[0])} IN ({listed})", _COMPARED
        if name == "COMPARE_NOT_IN":
            listed = ", ".join(self.text(child, 0) for child in children[1:])
            return f"{self._atom(children[0])} NOT IN ({listed})", _COMPARED
        if name == "ARRAY_EXTRACT":
            return f"{self._atom(children[0])}[{self.text(children[1], 0)}]", _ATOM
        if name == "OPERATOR_COALESCE":
            return self._call("coalesce", children), _ATOM
        raise _UnsupportedError(f"a filter holds no {name.removeprefix('OPERATOR_').replace('_', ' ').lower()}")

    def _function(self, tree: Mapping[str, Any]) -> tuple[str, int]:
        name, arguments = tree["function_name"], tree["arguments"]
        if tree.get("schema") or tree.get("distinct") or tree.get("filter") or tree["order_bys"].get("orders"):
            raise _UnsupportedError(f"a filter holds no {name}() with such options")
        if any(argument.get("name") for argument in arguments):
            raise _UnsupportedError(f"{name}() with a named argument")
        of = [argument["expression"] for argument in arguments]
        if name in _LIKES and len(of) in (2, 3):
            escape = f" ESCAPE {self._atom(of[2])}" if len(of) == 3 else ""
            return f"{self._atom(of[0])} {_LIKES[name]} {self._atom(of[1])}{escape}", _COMPARED
        if name in _ARITHMETIC and len(of) == 2:
            strength = _ARITHMETIC[name]
            if name == "||":
                self._check_function("concat")
            return f"{self.text(of[0], strength)} {name} {self.text(of[1], strength + 1)}", strength
        if name in ("-", "+") and len(of) == 1:
            return f"{name}{self._atom(of[0])}", _ARITHMETIC[name]
        if not _NAME.fullmatch(name) or tree["is_operator"] or name in ("list_value", "struct_pack", "row"):
            raise _UnsupportedError(f"a filter holds no {name}")
        return self._call(_CALLS.get(name, name), of), _ATOM

    def _call(self, name: str, arguments: Iterable[Mapping[str, Any]]) -> str:
        self._check_function(name)
        return f"{name}({', '.join(self.text(argument, 0) for argument in arguments)})"

    def _check_function(self, name: str) -> None:
        if self._functions is not None and name not in self._functions:
            known = ", ".join(sorted(self._functions))
            raise _UnsupportedError(f"{name} is not a function that may be called here ({known})")

    def _type(self, tree: Mapping[str, Any]) -> str:
        name = (tree.get("type_name") or "").lower()
        sizes = [child.get("literal", {}).get("text", "") for child in tree.get("children", ())]
        if name not in _TYPES or not all(re.fullmatch(r"\d{1,2}", size) for size in sizes):
            raise _UnsupportedError(f"a type {name or 'of another form'}")
        return _TYPES[name] + (f"({', '.join(sizes)})" if sizes else "")


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0]
