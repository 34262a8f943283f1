"""`vclip plugins`: what can be named in a configuration, where it comes from, and whether it opens here."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.app import Json, app
from pipelines.cli.output import print_json, print_line, print_table
from vclip.errors import InputError

if TYPE_CHECKING:
    from vclip.registry import Plugin, Registry


@dataclass(frozen=True)
class Listed:
    """One plugin, as it is listed."""

    kind: str
    name: str
    argument: str  # what the spec takes after the colon; empty for nothing
    argument_needed: bool
    source: str  # "built in", or the distribution and its version
    opens: bool  # here; where an argument is needed, whether its factory can be imported
    problem: str  # why it does not open
    about: str
    licence: str  # of the weights, of an encoder

    @property
    def spec(self) -> str:
        """How it is written in a configuration."""
        argument = f":{self.argument}" if self.argument_needed else f"[:{self.argument}]" if self.argument else ""
        return f"{self.name}{argument}"


@dataclass(frozen=True)
class Opened:
    """An encoder that a spec opens."""

    kind: str
    spec: str
    space: str
    dim: int
    licence: str  # of the weights; empty where the encoder says none


@app.command()
def plugins(
    encoder: Annotated[
        str, typer.Argument(help="Open this encoder, as in onnx-face:FILE.onnx, and show its space and licence.")
    ] = "",
    kind: Annotated[str, typer.Option(help="List one kind only, as in 'voice encoder'.")] = "",
    as_json: Json = False,
) -> None:
    """List the plugins that a spec can name: encoders, TTS backends, detectors, methods, column functions and others.

    Plugins are built in or come from installed packages. Each is opened, or imported if it needs an argument; if that
    fails, the list says what is missing.

    Example: `vclip plugins --kind tts`

    Example: `vclip plugins onnx-voice:models/resnet34.onnx`
    """
    if encoder:
        opened = _opened(encoder, kind)
        if as_json:
            print_json(opened)
        else:
            row = (opened.space, str(opened.dim), opened.licence or "unknown")
            print_table(f"{opened.kind} {encoder}", ("space", "size", "licence"), [row], whole="space")
        return
    known = _registries()
    if kind and kind not in known:
        raise InputError(f"--kind '{kind}': expected one of {', '.join(known)}")
    listed = [
        _listed(known[name], plugin) for name in ([kind] if kind else known) for plugin in known[name].plugins()
    ]
    if as_json:
        print_json(listed)
        return
    for name in dict.fromkeys(row.kind for row in listed):
        own = [row for row in listed if row.kind == name]
        licences = any(row.licence for row in own)
        head = ("spec", "source", "here", "what it is", *(["licence"] if licences else []))
        rows = [(row.spec, row.source, row.problem or "opens", row.about, row.licence)[: len(head)] for row in own]
        print_table(name, head, rows, whole="spec")
    print_line("Any other factory: python:package.module:Factory[:argument]. How to write one: docs/extending.md")


def _registries() -> dict[str, "Registry[Any]"]:
    """The registries by their kind."""
    from pipelines.extraction.active_speaker.base import ACTIVE_SPEAKER
    from pipelines.extraction.faces.detectors import DETECTORS
    from vclip.association.losses import LOSSES
    from vclip.association.methods import ASSOCIATION_METHODS
    from vclip.association.protocols import PROTOCOLS
    from vclip.columns import COLUMN_FUNCTIONS
    from vclip.encoders import FACE_ENCODERS, VOICE_ENCODERS
    from vclip.marking.watermark import WATERMARKS
    from vclip.tts import TTS_BACKENDS
    from vclip.tts.cloning import CLONING_TTS

    every = (
        *(FACE_ENCODERS, VOICE_ENCODERS, TTS_BACKENDS, CLONING_TTS),
        *(DETECTORS, ACTIVE_SPEAKER, ASSOCIATION_METHODS, LOSSES, PROTOCOLS, WATERMARKS, COLUMN_FUNCTIONS),
    )
    return {registry.kind: registry for registry in every}


def _listed(registry: "Registry[Any]", plugin: "Plugin") -> Listed:
    from vclip.registry import argument_of

    argument, needed, problem = plugin.argument, plugin.needs_argument, ""
    try:
        factory = registry.factory(plugin)
        if plugin.package and callable(factory):
            argument, needed = argument_of(factory)
        if not needed and not (plugin.argument and not plugin.package):
            registry.open(plugin.name)
    except (InputError, ImportError, OSError) as error:
        problem = str(error).splitlines()[0]
    found = (argument, needed, plugin.source, not problem, problem, plugin.about, plugin.licence)
    return Listed(registry.kind, plugin.name, *found)


def _opened(spec: str, kind: str) -> Opened:
    from vclip.encoders import FACE_ENCODERS, VOICE_ENCODERS, licence_of
    from vclip.registry import split_record

    plain, _ = split_record(spec)
    name = plain.partition(":")[0]
    for registry in (FACE_ENCODERS, VOICE_ENCODERS):
        if kind == registry.kind or (not kind and name in registry.names()):
            encoder = registry.open(spec, device="cpu")
            licence = licence_of(encoder) or registry.find(spec)[0].licence
            return Opened(registry.kind, spec, encoder.space, encoder.dim, licence)
    names = ", ".join([*FACE_ENCODERS.names(), *VOICE_ENCODERS.names()])
    raise InputError(
        f"encoder '{spec}': expected one of {names}, or any factory with --kind 'face encoder' or 'voice encoder'"
    )
