"""The voice that a user means: by the path or address of a voice file, a WAV file or a sidecar; or by its name."""

import difflib
from collections.abc import Sequence
from functools import cached_property

from pipelines.files.addresses import recorded
from pipelines.files.download import local_copy
from pipelines.files.folders import existing
from pipelines.files.remote import RemoteConfig, unreadable
from pipelines.voices.collections import KeptVoice, VoiceCollection
from vclip.errors import InputError
from vclip.speakers.voice import SUFFIXES, Voice, checked_name, name_key
from vclip.tables import nfc

SHOWN = 8  # names in a message


def names_a_file(value: str) -> bool:
    """Returns whether a user means a file, and not the name of a kept voice."""
    return nfc(value).partition("?")[0].lower().endswith(SUFFIXES)


class VoiceFinder:
    """Finds voices; the collections are read once, when the first name is looked up.

    Args:
        collections: where names are looked up.
        remote: how addresses are read.
    """

    def __init__(self, collections: Sequence[VoiceCollection], remote: RemoteConfig):
        self._collections, self._remote = collections, remote

    def find(self, value: str) -> KeptVoice:
        """Returns the voice of a file or of a name.

        Raises:
            InputError, StoreError: there is no such file or name, several voices have the name, or the file is not a
                voice.
        """
        return self._file(value) if names_a_file(value) else self.named(value)

    def _file(self, value: str) -> KeptVoice:
        shown = recorded(value)
        try:
            with local_copy(existing(value), self._remote) as path:
                try:
                    return KeptVoice(Voice.load(path), shown)
                except InputError as error:
                    raise InputError(str(error).replace(path, shown)) from None
        except OSError as error:
            raise InputError(f"voice {shown}: {unreadable(error)}") from None

    def named(self, value: str) -> KeptVoice:
        """Returns the voice of a name; raises InputError as `find` does."""
        if "/" in value:
            raise InputError(f"voice {value}: expected a name, or a file that ends in {', '.join(SUFFIXES)}")
        name, places = checked_name(value), " and ".join(one.where for one in self._collections)
        if not places:
            raise InputError(
                f"voice '{name}': found no place to look the name up; give --voices-from FOLDER or --store STORE, "
                f"or a file that ends in {', '.join(SUFFIXES)}"
            )
        found = {kept.voice.sha256: kept for kept in self._by_key.get(name_key(name), ())}
        if len(found) > 1:
            both = " and ".join(kept.place for kept in found.values())
            raise InputError(f"voice '{name}': {both} are different voices of this name; name one by its file")
        if not found:
            near = difflib.get_close_matches(name_key(name), self._by_key, n=1)
            names = [kept[0].voice.name for kept in self._by_key.values()]
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            hint = f"did you mean '{self._by_key[near[0]][0].voice.name}'?" if near else ""
            listed = f"there are: {', '.join(names[:SHOWN])}{more}" if names else "there are no voices"
            raise InputError(f"voice '{name}': not in {places}; {hint or listed}")
        return next(iter(found.values()))

    @cached_property
    def _by_key(self) -> dict[str, list[KeptVoice]]:
        found: dict[str, list[KeptVoice]] = {}
        for collection in self._collections:
            for kept in collection.kept():
                found.setdefault(name_key(kept.voice.name), []).append(kept)
        return found
