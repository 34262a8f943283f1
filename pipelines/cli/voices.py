"""Commands on voices that are kept under a name: keep, list, show, export, remove."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, VoicesFrom, config_of, voices, with_voices_from
from pipelines.cli.in_words import models_in_words
from pipelines.cli.output import print_json, print_line, print_result, print_table, say_next

if TYPE_CHECKING:
    from pipelines.config import Config
    from pipelines.voices.collections import KeptVoice, VoiceCollection

KEYS = ("generate.known_similarity", "generate.voices_from", "remote")  # of the configuration
Store = Annotated[str | None, typer.Option("--store", help="Or a store, whose table `speakers` holds kept voices.")]
Name = Annotated[str, typer.Argument(help="Name of a kept voice.")]
AnyVoice = Annotated[
    str, typer.Argument(help="A WAV file by `generate`, its sidecar, a voice file, or the name of a kept voice.")
]


@voices.command()
def keep(
    voice: AnyVoice,
    name: Annotated[str, typer.Option("--name", help="Name of the voice. Default: the name that it has.")] = "",
    to: Annotated[str | None, typer.Option("--to", help="Folder of voices; generate.voices_from.")] = None,
    store: Store = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Keep the voice of generated speech under a name, in a folder or a store, to speak with it again.

    A voice is 4 KB: the vector that the TTS was given, the TTS, and the provenance of the speech. It is not a copy of
    the audio, and a recording of a person cannot be kept as a voice. A voice that is too similar to a known
    speaker is refused here as it is by `generate`.

    Example: `vclip voices keep work/speech/photo_voice1_0a1b2c3d.wav --name ann --to work/voices`

    Example: `vclip voices keep work/speech/photo_voice1_0a1b2c3d.wav --name ann --store work/store`
    """
    from pipelines.voices.keep import keep

    resolved = config_of(config, set, *KEYS)
    found = _find(voice, None, store, config, set)
    kept = keep(found.voice, name, _collection(to, store, resolved), resolved.generate.known_similarity)
    print_result(kept, as_json, f"kept as '{kept.voice.name}'")
    if not as_json:
        at = f" --voices-from {quote(to)}" if to else f" --store {quote(store)}" if store else ""
        say_next(f"vclip generate --voice {quote(kept.voice.name)}{at} --text TEXT --out FOLDER")


@voices.command("list")
def list_voices(
    voices_from: VoicesFrom = None,
    store: Store = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """List the kept voices of a folder or a store.

    Example: `vclip voices list --voices-from work/voices`
    """
    kept = _collection(voices_from, store, config_of(config, set, *KEYS)).kept()
    if as_json:
        print_json({"voices": kept})
        return
    rows = [
        (one.voice.name, one.voice.tts, shown["made_for"], one.place) for one in kept for shown in [one.to_json()]
    ]
    print_table("", ("name", "tts", "made for", "kept in"), rows, whole="name")
    if not kept:
        print_line("no voices are kept here; keep one with `vclip voices keep`")


@voices.command()
def show(
    voice: AnyVoice,
    voices_from: VoicesFrom = None,
    store: Store = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Show a voice: its TTS, what it was made for and by which models.

    Example: `vclip voices show ann --voices-from work/voices`
    """
    kept = _find(voice, voices_from, store, config, set)
    about = kept.to_json()
    if as_json:
        print_json(about | {"provenance": kept.voice.provenance})
        return
    about["models"] = models_in_words(kept.voice.provenance.get("models"))
    print_result(about, False, f"voice '{kept.voice.name}'" if kept.voice.name else "voice")


@voices.command()
def export(
    voice: AnyVoice,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, which ends in .safetensors.")],
    voices_from: VoicesFrom = None,
    store: Store = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Write a voice to one file, to hand it over; `generate --voice FILE` speaks with it on another machine.

    The file names the photo of the face that the voice was made for, as the speech does. A store lists the file when
    the person is deleted from it.

    Example: `vclip voices export ann --voices-from work/voices --out ann.safetensors`
    """
    from pipelines.cluster.derived import record_derived
    from pipelines.voices.collections import KeptVoice

    found = _find(voice, voices_from, store, config, set)
    path = found.voice.save(out)
    record_derived(store, "voices export", path)
    print_result(KeptVoice(found.voice, str(path)), as_json, f"voice file {path}")


@voices.command()
def remove(
    name: Name,
    voices_from: VoicesFrom = None,
    store: Store = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Remove a kept voice from a folder or a store. Speech that was made with it stays.

    The bytes of a store's row are freed by the next `vclip optimize`.

    Example: `vclip voices remove ann --voices-from work/voices`
    """
    from pipelines.voices.find import VoiceFinder

    resolved = config_of(config, set, *KEYS)
    collection = _collection(voices_from, store, resolved)
    kept = VoiceFinder([collection], resolved.remote).named(name)
    collection.remove(kept)
    if as_json:
        print_json({"removed": kept})
    else:
        print_line(f"removed '{kept.voice.name}' from {kept.place}")


def _collection(folder: str | None, store: str | None, config: "Config") -> "VoiceCollection":
    """Where a command keeps and lists voices: a folder, a store, or the configured folder."""
    from pipelines.voices.collections import open_collection

    return open_collection(folder or (None if store else config.generate.voices_from), store)


def _find(
    voice: str, voices_from: str | None, store: str | None, config: str | None, overrides: list[str] | None
) -> "KeptVoice":
    """The voice that a command names, by file or by name."""
    import stores
    from pipelines.voices.collections import collections_of
    from pipelines.voices.find import VoiceFinder

    resolved = with_voices_from(config_of(config, overrides, *KEYS), voices_from)
    opened = stores.Store.open(store) if store else None
    return VoiceFinder(collections_of(resolved, opened), resolved.remote).find(voice)
