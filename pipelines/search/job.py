"""`vclip search`: the faces and voices of a store that are similar to a query, or match it."""

from collections.abc import Mapping, Sequence

from pipelines.config import Config
from pipelines.search.probes import FACE, TABLES, TEXT, VOICE, one_person
from pipelines.search.results import Answer
from pipelines.search.searcher import Searcher
from vclip.errors import InputError

OF = "-of"  # the end of the options that take a person of the store


def search(
    store_uri: str,
    find: str,
    queries: Mapping[str, Sequence[str] | None],
    model: str | None,
    config: Config,
    *,
    k: int,
    where: str | None,
    media: str | None,
    exact: bool,
    memory_gb: float,
    prior: float,
    face_index: int | None,
    same_person: bool = False,
    centre: bool = False,
) -> Answer:
    """Returns the hits of each query, best first.

    Args:
        store_uri: the store.
        find, k, where, media, exact, prior: as in `Searcher.find`.
        queries: face, voice or text -> files, ids or texts to search by; face-of or voice-of -> identities of the
            store. Exactly one of these must have any.
        model: folder of an association model; None compares within one modality only.
        config: its sections `encoders` and `extraction` are used for queries that are files.
        memory_gb: limit of the vector cache, in GB (2^30 bytes).
        face_index: which face of a photo with several, from the left; None takes the largest.
        same_person: whether all queries are of one person, who is searched for once.
        centre: whether the model is centred on the means of the store.

    Raises:
        InputError, StoreError: no query or queries of several kinds, or a file, id, filter or model cannot be used.
    """
    given = [kind for kind, values in queries.items() if values]
    if len(given) != 1:
        options = ", ".join(f"--{kind}" for kind in queries)
        found = " and ".join(f"--{kind}" for kind in given) or "nothing to search by"
        raise InputError(f"search: found {found}; expected one of {options}")
    kind, values = given[0], queries[given[0]] or ()
    if same_person and (kind not in TABLES or len(values) < 2):
        raise InputError(f"--same-person: found {len(values)} --{kind}, expected several faces or several voices")
    searcher = Searcher.open(store_uri, model, config, int(memory_gb * 2**30), centre)
    if kind == FACE:
        probes = searcher.faces(values, face_index)
    elif kind == VOICE:
        probes = searcher.voices(values)
    elif kind == TEXT:
        probes = searcher.texts(values)
    else:
        probes = [searcher.person(kind.removesuffix(OF), identity) for identity in values]
    return searcher.find(find, [one_person(probes)] if same_person else probes, k, where, media, exact, prior)
