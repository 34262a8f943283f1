"""Labels of a table, matched with the videos that its rows name."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence

from pipelines.files.addresses import recorded, storable
from pipelines.ingest.sources.entries import Entry, Labels
from pipelines.progress import warn
from pipelines.wording import count
from vclip.errors import InputError
from vclip.tables import nfc


def labelled(entries: Sequence[Entry], labels: Mapping[str, Labels]) -> list[Entry]:
    """Returns the entries, with their labels where a row names them; prints how many rows name no video.

    A row names a video by its address or absolute path, by its path within the input, or by its bare file name if
    only one video has it. Names are compared in NFC.

    Raises:
        InputError: no row names any video, or two rows give one video different labels.
    """
    if not labels:
        return list(entries)
    given = {nfc(recorded(name)): name for name in labels}
    named = Counter(os.path.basename(entry.key) for entry in entries)
    used, done = set[str](), list[Entry]()
    for entry in entries:
        bare = os.path.basename(entry.key)
        names = [entry.key, nfc(recorded(entry.inside)), *([bare] if named[bare] == 1 else [])]
        matching = [given[name] for name in dict.fromkeys(names) if name in given]
        for name in matching:
            if labels[name] != labels[matching[0]]:
                both = f"'{storable(matching[0])}' and '{storable(name)}'"
                raise InputError(
                    f"labels: {both} are one video and have different labels; expected one row per video"
                )
        used.update(matching)
        done.append(_with_labels(entry, labels[matching[0]]) if matching else entry)
    unused = [name for name in labels if name not in used]
    if not used:
        raise InputError(
            f"labels: none of {count(len(labels), 'row')} names a video of the input; the first names "
            f"'{storable(unused[0])}'"
        )
    if unused:
        first = storable(unused[0])
        of = count(len(labels), "row")
        warn(f"labels: {len(unused)} of {of} without a video of the input; the first: '{first}'")
    return done


def _with_labels(entry: Entry, labels: Labels) -> Entry:
    return entry._replace(labels=labels, problem=entry.problem or getattr(labels, "problem", ""))
