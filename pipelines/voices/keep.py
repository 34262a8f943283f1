"""`vclip voices keep`: gives the voice of a speech file a name, under which it speaks again."""

from pipelines.voices.collections import KeptVoice, VoiceCollection
from pipelines.voices.guard import check_unlike_known
from vclip.errors import InputError
from vclip.speakers.voice import Voice


def keep(voice: Voice, name: str, collection: VoiceCollection, known_similarity: float | None = None) -> KeptVoice:
    """Keeps a voice under a name, and returns it with its place. Keeping the same voice again changes nothing.

    Args:
        voice: the voice.
        name: its name; "" for the one that it has.
        collection: the folder or the store that keeps it.
        known_similarity: `generate.known_similarity`, see `check_unlike_known`.

    Raises:
        InputError: the voice has no name, another voice has it, or the voice is too similar to a known speaker.
    """
    if not (name or voice.name):
        raise InputError("voices keep: found no --name, expected one for the voice, such as ann")
    named = voice.named(name or voice.name)
    check_unlike_known(named, known_similarity, collection.known_speakers())
    return KeptVoice(named, collection.add(named))
