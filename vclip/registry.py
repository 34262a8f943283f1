"""Plugins by name: encoders, TTS backends, face detectors, active-speaker backends, association methods, losses.

A spec is one of

    NAME                                       a built-in, or a name that an installed package registers
    NAME:ARGUMENT                              the same with an argument, as in open_clip:ViT-B-32-quickgelu/openai
    python:PACKAGE.MODULE:FACTORY[:ARGUMENT]   any importable factory, registered or not

and may end in ` @ PACKAGE==VERSION`, the distribution that registered the name when the spec was recorded; it is used
in error messages alone. Packages register names as entry points, in the group of the kind:

    [project.entry-points."vclip.voice_encoders"]
    ecapa = "my_package.ecapa:Ecapa"

A factory takes the argument, if there is one, as its first positional parameter, and options such as `device` as
keywords where its signature has them. It returns an object of the kind. A ready object, such as an association
method, may be registered without a factory. No plugin is imported before it is opened.
"""

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from vclip.errors import InputError

T = TypeVar("T")
PYTHON = "python"
_RECORDED = re.compile(r"^(?P<spec>.*) @ (?P<package>[A-Za-z0-9._-]+)==(?P<version>\S+)$")


@dataclass(frozen=True)
class Plugin:
    """One name of a registry."""

    name: str
    target: str  # module:attribute of the factory
    argument: str = ""  # the form of the argument, as in "MODEL/TAG"; empty where there is none or it is not known
    needs_argument: bool = False
    about: str = ""
    licence: str = ""  # of the weights
    install: str = ""  # the requirement for `pip install` that the plugin needs, as in "vclip[vits]"
    package: str = ""  # the distribution that registered it; empty for a built-in
    version: str = ""  # of that distribution

    @property
    def source(self) -> str:
        """The package and version that registered the name, or "built in"."""
        return f"{self.package} {self.version}" if self.package else "built in"

    @property
    def usage(self) -> str:
        """The form of the spec, as in "open_clip:MODEL/TAG"."""
        if not self.argument:
            return self.name
        return f"{self.name}:{self.argument}" if self.needs_argument else f"{self.name}[:{self.argument}]"


class Registry(Generic[T]):
    """The names of one kind of plugin.

    Args:
        kind: what an opened object is, for messages, as in "face encoder".
        group: the entry-point group in which packages register names.
        expected: the attributes that every object of the kind has.
        protocol: where the kind is described, as in "vclip.encoders.base.FaceEncoder".
        builtin: the names of the toolkit itself; no package can replace one.

    Example:
        >>> registry = Registry("clock", "my.clocks", ("tick",), "my.Clock", [Plugin("sun", "suns:Sun")])
        >>> registry.open("son")
        Traceback (most recent call last):
        vclip.errors.InputError: clock 'son': unknown name; did you mean 'sun'? There are: sun; or name any factory...
    """

    def __init__(self, kind: str, group: str, expected: Sequence[str], protocol: str, builtin: Sequence[Plugin] = ()):
        self.kind, self.group, self.protocol = kind, group, protocol
        self._expected, self._builtin = tuple(expected), {plugin.name: plugin for plugin in builtin}

    def plugins(self) -> list[Plugin]:
        """Returns the built-in plugins in their order, then those of packages by name; imports none of them."""
        return [
            *self._builtin.values(),
            *sorted(self._registered(), key=lambda plugin: (plugin.name, plugin.package)),
        ]

    def names(self) -> list[str]:
        """Returns the names of all plugins, in the order of `plugins`."""
        return [plugin.name for plugin in self.plugins()]

    def open(self, spec: str, **options: Any) -> T:
        """Returns the object that a spec names.

        Args:
            spec: see the module.
            options: passed to the factory where its signature has them, as `device`.

        Raises:
            InputError: the name is unknown, a package is missing, the argument is missing or not expected, or the
                factory returns an object of another kind. Errors of the factory itself pass through.
        """
        plugin, argument = self.find(spec)
        target = self._load(plugin, spec)
        return self._made(target, plugin, argument, spec, options)

    def find(self, spec: str) -> tuple[Plugin, str]:
        """Returns the plugin and the argument of a spec; imports nothing.

        Raises:
            InputError: the name is unknown, a package is missing, or the argument is missing or not expected.
        """
        spec, package = split_record(spec)
        name, _, argument = spec.partition(":")
        if name == PYTHON:
            return self._by_path(spec)
        found = [plugin for plugin in self.plugins() if plugin.name == name]
        if not found:
            raise InputError(self._unknown(spec, name, package))
        if found[0].package and len(found) > 1:
            sources = " and ".join(plugin.source for plugin in found)
            targets = " or ".join(f"{PYTHON}:{plugin.target}" for plugin in found)
            raise InputError(f"{self.kind} '{spec}': registered by {sources}; name one as {targets}")
        plugin = found[0]
        if plugin.needs_argument and not argument:
            raise InputError(f"{self.kind} '{spec}': expected {plugin.usage}")
        if argument and not plugin.package and not plugin.argument:
            raise InputError(f"{self.kind} '{spec}': found the argument '{argument}', expected {plugin.usage}")
        return plugin, argument

    def record(self, spec: str) -> str:
        """Returns a spec in the form that stores and models record: with the package that registers its name.

        Raises:
            InputError: as `find`.
        """
        plugin, _ = self.find(spec)
        spec, _ = split_record(spec)
        return f"{spec} @ {plugin.package}=={plugin.version}" if plugin.package else spec

    def factory(self, plugin: Plugin) -> Any:
        """Returns the factory of a plugin, imported; raises InputError where a package is missing."""
        return self._load(plugin, plugin.name)

    def _registered(self) -> list[Plugin]:
        return [_plugin_of(point) for point in entry_points(group=self.group) if point.name not in self._builtin]

    def _unknown(self, spec: str, name: str, package: str) -> str:
        known = self.plugins()
        near = difflib.get_close_matches(name, [plugin.name for plugin in known], n=1)
        lost = f" here; '{package}' registered it where this was made: pip install {package}" if package else ""
        guess = f"; did you mean '{near[0]}'?" if near and not package else "."
        usages = ", ".join(plugin.usage for plugin in known) or "none"
        return (
            f"{self.kind} '{spec}': unknown name{lost}{guess} There are: {usages}; "
            f"or name any factory as {PYTHON}:package.module:Factory"
        )

    def _by_path(self, spec: str) -> tuple[Plugin, str]:
        parts = spec.split(":", 3)
        if len(parts) < 3 or not all(parts[1:3]):
            raise InputError(
                f"{self.kind} '{spec}': expected {PYTHON}:package.module:Factory, perhaps with :argument"
            )
        _, module, attribute, *rest = parts
        return Plugin(f"{PYTHON}:{module}:{attribute}", f"{module}:{attribute}"), rest[0] if rest else ""

    def _load(self, plugin: Plugin, spec: str) -> Any:
        module, _, attribute = plugin.target.partition(":")
        by = f" (registered by {plugin.source})" if plugin.package else ""
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise InputError(self._missing(plugin, spec, module, error)) from error
        except (ImportError, SystemExit) as error:
            reason = f"it exits, code {error.code}" if isinstance(error, SystemExit) else error
            raise InputError(f"{self.kind} '{spec}'{by}: cannot be imported ({reason})") from error
        try:
            for name in attribute.split("."):
                found = getattr(found, name)
        except AttributeError:
            raise InputError(f"{self.kind} '{spec}'{by}: the module {module} has no '{attribute}'") from None
        return found

    def _missing(self, plugin: Plugin, spec: str, module: str, error: ModuleNotFoundError) -> str:
        name = error.name or str(error)
        own = name == module or module.startswith(f"{name}.")
        if own:
            what = f"the module '{name}' is not installed; install its package, or put its folder on PYTHONPATH"
        else:
            what = f"needs the package '{name.partition('.')[0]}', which is not installed"
            what += f"; pip install '{plugin.install}'" if plugin.install else ""
        by = f" (registered by {plugin.source})" if plugin.package else ""
        return f"{self.kind} '{spec}'{by}: {what}"

    def _made(self, target: Any, plugin: Plugin, argument: str, spec: str, options: dict[str, Any]) -> T:
        if not isinstance(target, type) and not inspect.isroutine(target) and not self._lacks(target):
            return self._finished(target, plugin, argument, spec)
        if not callable(target):
            raise InputError(
                f"{self.kind} '{spec}': {plugin.target} is of type {type(target).__name__}, expected a factory: a "
                f"class or function that returns a {self.kind} ({self.protocol})"
            )
        positional = (argument,) if argument else ()
        taken = {name: value for name, value in options.items() if takes(target, name)}
        try:
            inspect.signature(target).bind(*positional, **taken)
        except TypeError as error:
            given = f"the argument '{argument}'" if argument else "no argument"
            raise InputError(
                f"{self.kind} '{spec}': given {given}, but the factory {plugin.target} is "
                f"{attribute_of(plugin)}{inspect.signature(target)} ({error})"
            ) from None
        except ValueError:  # a factory in C without a signature
            pass
        try:
            made = target(*positional, **taken)
        except SystemExit as error:  # it would end the job without a word
            raise InputError(
                f"{self.kind} '{spec}': {plugin.target} exits (code {error.code}); expected {self.protocol}"
            ) from None
        missing = self._lacks(made)
        if missing or isinstance(made, type):
            lacks = f" without {', '.join(missing)}" if missing else ""
            raise InputError(
                f"{self.kind} '{spec}': {plugin.target} returned a {type(made).__name__}{lacks}, expected a "
                f"{self.kind} ({self.protocol})"
            )
        return cast("T", made)

    def _finished(self, target: Any, plugin: Plugin, argument: str, spec: str) -> T:
        if argument:
            raise InputError(f"{self.kind} '{spec}': {plugin.target} takes no argument, found '{argument}'")
        return target

    def _lacks(self, made: Any) -> list[str]:
        return [name for name in self._expected if not hasattr(made, name)]


def split_record(spec: str) -> tuple[str, str]:
    """Returns a spec without its recorded package, and that package ("" where none was recorded).

    Example:
        >>> split_record("ecapa:large @ my-voices==1.2")
        ('ecapa:large', 'my-voices')
    """
    found = _RECORDED.match(spec)
    return (found["spec"], found["package"]) if found else (spec, "")


def argument_of(factory: Callable[..., Any], options: Sequence[str] = ("device", "config")) -> tuple[str, bool]:
    """Returns the name of a factory's argument ("" for none), and whether it must be given.

    Args:
        factory: a class or function.
        options: parameters that the toolkit fills in by keyword.
    """
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:
        return "", False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    for parameter in parameters:
        if parameter.kind in kinds and parameter.name not in options:
            return parameter.name.upper(), parameter.default is inspect.Parameter.empty
    return "", False


def attribute_of(plugin: Plugin) -> str:
    """Returns the name of a plugin's factory in its module."""
    return plugin.target.partition(":")[2]


def _plugin_of(point: EntryPoint) -> Plugin:
    found = point.dist
    package, version = (found.name, found.version) if found else ("an unknown package", "")
    return Plugin(point.name, f"{point.module}:{point.attr}", package=package, version=version)


def takes(factory: Callable[..., Any], name: str) -> bool:
    """Returns whether a factory takes an argument of this name by keyword."""
    try:
        parameters = inspect.signature(factory).parameters
    except ValueError:
        return False
    found = parameters.get(name)
    if found is None:
        return any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return found.kind is not inspect.Parameter.POSITIONAL_ONLY
