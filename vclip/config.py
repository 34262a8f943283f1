"""Configuration: pydantic models beside the code that uses them, overridden by YAML files and dotted options.

`Settings` is the base of all configuration models: unknown keys are errors, and values do not change after loading.
`load` merges the defaults of the code, a YAML file and `a.b.c=value` overrides, in this order.
"""

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vclip.errors import InputError


class Settings(BaseModel):
    """Base of all configuration models: frozen, and no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


CHOICES = re.compile(r"\^\(((?:[\w:[\]-]*\|)+[\w:[\]-]*)\)\$")  # a pattern that lists what it takes
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # scikit-learn takes no larger one
T = TypeVar("T", bound=Settings)


def load(model: type[T], path: str | Path | None = None, overrides: Sequence[str] = (), as_text: bool = False) -> T:
    """Returns an instance of `model` with the values of a YAML file and of dotted overrides.

    Args:
        model: the Settings class.
        path: a YAML file, or None for the defaults.
        overrides: `section.key=value` each; the value is read as YAML.

    Raises:
        InputError: the file cannot be read, or a key or value is wrong; the message names the file or the override,
            the key and the nearest known one.
    """
    values = _read(path, model) if path else {}
    for override in overrides:
        _apply(values, override)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise InputError(_explain(error, model, path, overrides)) from None


def _read(path: str | Path, model: type[Settings]) -> dict[str, Any]:
    try:
        text = Path(path).read_text()
        values = yaml.safe_load(text) or {}
    except OSError as error:
        raise InputError(f"configuration {path}: {error.strerror or error}; expected a YAML file") from None
    except RecursionError:
        raise InputError(f"configuration {path}: not YAML (nested too deeply)") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
            reason = f"line {error.problem_mark.line + 1}: {error.problem}"
        else:
            reason = str(error).splitlines()[0]
        raise InputError(f"configuration {path}: not YAML ({reason})") from None
    if not isinstance(values, dict):
        raise InputError(f"configuration {path}: found a {type(values).__name__}, expected keys with values")
    if model.model_config.get("coerce_numbers_to_str"):
        written = yaml.load(text, yaml.BaseLoader)  # YAML makes 2.1 of the version 2.10, and a date of 2024-01-01
        values |= {
            key: written[key]
            for key, field in model.model_fields.items()
            if field.annotation is str and isinstance(values.get(key), float | date)
        }
    return values


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise InputError(f"override '{override}': expected section.key=value, as in train.batch_size=256")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        raise InputError(f"override '{override[:80]}': the value is not YAML") from None
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise InputError(f"override '{override}': '{section}' is a value, not a section")
    values[last] = value


def _explain(
    error: ValidationError, model: type[BaseModel], path: str | Path | None, overrides: Sequence[str]
) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    unknown = first["type"] == "extra_forbidden"
    given = next((text for text in reversed(overrides) if _sets(text.partition("=")[0], key, unknown)), None)
    where = f"configuration{f' {path}' if path else ''}: " if given is None else f"override '{given}': "
    if first["type"] == "missing":
        return f"{where}missing key '{key}'"
    if first["type"] == "value_error" and not key:
        return f"{where}{first['msg'].removeprefix('Value error, ')}"
    if first["type"] == "string_pattern_mismatch":
        return f"{where}{key} = {_written(first['input'])}: {_in_words(first.get('ctx', {}).get('pattern', ''))}"
    if not unknown:
        message = first["msg"]
        return f"{where}{key} = {_written(first.get('input'))}: {message[:1].lower()}{message[1:]}"
    known = list(keys_of(model))
    near = difflib.get_close_matches(key, known, n=1, cutoff=0) if known else []
    # A key in the wrong section is found by its last part rather than by its whole path.
    last = key.rpartition(".")[2]
    same = [k for k in known if k.rpartition(".")[2] == last]
    nearest = same or near
    return f"{where}unknown key '{key}'" + (f"; did you mean '{nearest[0]}'?" if nearest else "")


def _written(value: Any) -> str:
    """Returns a value as a YAML file may have it: a text in quotation marks, a date, null."""
    return repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _in_words(pattern: str) -> str:
    """Returns what a pattern expects: one of some words, if it lists them."""
    if listed := CHOICES.fullmatch(pattern.replace(r"(:\d+)?", "[:N]")):
        *words, last = [word or "nothing" for word in listed[1].split("|")]
        return f"expected {', '.join(words)} or {last}"
    return "has a character that is not expected here; letters, digits, '.', '_' and '-' are"


def _sets(overridden: str, key: str, unknown: bool) -> bool:
    """Returns whether an override is to blame for a key: for one in what it sets, or an unknown section around it."""
    return f"{key}.".startswith(f"{overridden}.") or (unknown and overridden.startswith(f"{key}."))


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yields the dotted keys of a configuration model: sections and their values."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        yield prefix + name
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys_of(kind, f"{prefix}{name}.")
