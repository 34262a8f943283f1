"""`vclip search`: the faces and voices of a store that are similar to a query, or match it."""

from collections.abc import Mapping, Sequence

from pipelines.config import Config
from pipelines.search.results import Answer
from pipelines.search.searcher import Searcher
from vclip.errors import InputError


def search(
    store_uri: str,
    find: str,
    queries: Mapping[str, Sequence[str] | None],
    model: str | None,
    config: Config,
    k: int,
    where: str | None,
    media: str | None,
    exact: bool,
    memory_gb: float,
    prior: float,
    face_index: int | None,
) -> Answer:
    """Returns the hits of each query, best first.

    Args:
        store_uri: the store.
        find, k, where, media, exact, prior: as in `Searcher.find`.
        queries: face, voice or text -> files, ids or texts to search by; exactly one kind must have any.
        model: folder of an association model; None compares within one modality only.
        config: its sections `encoders` and `extraction` are used for queries that are files.
        memory_gb: limit of the vector cache, in GB (2^30 bytes).
        face_index: which face of a photo with several, from the left; None takes the largest.

    Raises:
        InputError, StoreError: no query or queries of several kinds, or a file, id, filter or model cannot be used.
    """
    given = [kind for kind, values in queries.items() if values]
    if len(given) != 1:
        raise InputError(f"search by {' and '.join(given) or 'nothing'}: expected one of --face, --voice, --text")
    searcher = Searcher.open(store_uri, model, config, int(memory_gb * 2**30))
    kind, values = given[0], queries[given[0]] or ()
    if kind == "face":
        probes = searcher.faces(values, face_index)
    elif kind == "voice":
        probes = searcher.voices(values)
    else:
        probes = searcher.texts(values)
    return searcher.find(find, probes, k, where, media, exact, prior)
