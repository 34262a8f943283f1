"""Finds each face of a manifest once: in photos by Ray tasks, and by id in the store."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np

from pipelines.cluster.failures import Failure, Tracebacks
from pipelines.cluster.remote_task import Work
from pipelines.cluster.tasks import run_tasks
from pipelines.config import Config
from pipelines.extraction.faces.detectors import open_detector
from pipelines.files.download import local_copy
from pipelines.files.remote import unreadable
from pipelines.generation.faces import PhotoFace, TargetFace, cut_face, encode_faces, open_encoder
from pipelines.generation.manifest import Photo
from pipelines.ingest.embed import decode_image
from pipelines.progress import step
from stores import Store
from stores.schema import vector_column
from stores.sql import quoted
from vclip.errors import InputError

TASK_PHOTOS = 16
QUERY_IDS = 1000

# A face, or the reason why there is none.
FaceOrReason = TargetFace | str


def find_faces(
    photos: Iterable[Photo], spec: str, space: str, store: Store | None, config: Config, tracebacks: Tracebacks
) -> dict[Photo, FaceOrReason]:
    """Returns the face of each photo, or the reason why there is none; shows progress.

    Args:
        photos: the photos and face ids, without duplicates.
        spec, space: the spec of the face encoder, and the space that its vectors must be in.
        store: the store that holds the faces with an id, or None.
        config: its sections `extraction`, `remote` and `batch`.
        tracebacks: keeps the tracebacks of defects.

    Raises:
        InputError: the face detector or the face encoder cannot be opened.
    """
    photos = sorted(photos, key=repr)  # so that a second run makes the same tasks
    from_store = [photo for photo in photos if photo.face_id]
    files = [photo for photo in photos if photo.uri]
    found: dict[Photo, FaceOrReason] = dict(_stored_faces(from_store, spec, space, store))
    batches = [files[start : start + TASK_PHOTOS] for start in range(0, len(files), TASK_PHOTOS)]
    with step("find faces", len(files), "photos") as progress:
        work = partial(_open_search, spec, space, config)
        for photo, face in run_tasks(batches, work, "find_faces", config.batch.task_cpus):
            if isinstance(face, Failure):
                tracebacks.keep(face, f"photo {photo}")
                face = f"photo {photo}: {face.reason}"
            found[photo] = face
            progress.advance()
    return found


def _open_search(spec: str, space: str, config: Config) -> Work[Photo, TargetFace | Failure]:
    detector, encoder = open_detector(config.extraction.tracks.detector), open_encoder(spec, space, "cpu")

    def find(photo: Photo, again: bool) -> TargetFace | Failure:
        try:
            with local_copy(photo.uri, config.remote) as path, open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            return Failure.of_input(unreadable(error), error)
        try:
            return encode_faces([cut_face(content, str(photo), detector, photo.index)], encoder)[0]
        except InputError as error:
            return Failure.of_input(str(error).removeprefix(f"photo {photo}: "), error)

    return find


def _stored_faces(
    photos: Sequence[Photo], spec: str, space: str, store: Store | None
) -> Iterator[tuple[Photo, FaceOrReason]]:
    """Yields faces of a store, with their vectors in the model's space or else embeddings of their images."""
    if store is None:
        yield from ((photo, f"{photo}: found a face_id without a store; give --store") for photo in photos)
        return
    has_vectors = space in store.spaces("faces")
    columns = ["face_id", "image"] + ([vector_column(space)] if has_vectors else [])
    encoder = None
    for start in range(0, len(photos), QUERY_IDS):
        part = photos[start : start + QUERY_IDS]
        listed = ", ".join(quoted(photo.face_id) for photo in part)
        rows = {r["face_id"]: r for r in store.query("faces", columns, f"face_id IN ({listed})").to_pylist()}
        for photo in part:
            row, uri = rows.get(photo.face_id), f"{store.uri}#{photo.face_id}"
            # A store of vectors only has no images.
            sha256 = hashlib.sha256(row["image"]).hexdigest() if row and row["image"] else ""
            if row is None:
                yield photo, f"{photo}: the store {store.uri} has no such face"
            elif photo.index:
                yield photo, f"face_index {photo.index}: expected none beside face_id, which names a single face"
            elif has_vectors:
                vector = np.array(row[vector_column(space)], np.float32)
                yield photo, TargetFace(uri, sha256, 0, 1, vector)
            elif not row["image"]:
                yield photo, f"{photo}: the store {store.uri} has neither its image nor its vector in '{space}'"
            else:
                encoder = encoder or open_encoder(spec, space, None)
                crop = decode_image(row["image"])
                yield photo, encode_faces([PhotoFace(uri, sha256, 0, 1, crop)], encoder)[0]
