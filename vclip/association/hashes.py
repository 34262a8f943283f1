"""Hashes of names and of rounded vectors, by which a model knows its training people without holding them."""

import hashlib

import numpy as np


def hashes_of(kind: str, names: np.ndarray) -> np.ndarray:
    """Returns hashes (n,) int64 of the names (n,) of one kind, "identity" or "clip"."""
    unique, row = np.unique(names, return_inverse=True)
    digests = (hashlib.blake2b(f"{kind}:{name}".encode(), digest_size=8).digest() for name in unique.tolist())
    return np.frombuffer(b"".join(digests), dtype="<i8")[row]


def hashes_of_vectors(kind: str, vectors: np.ndarray) -> np.ndarray:
    """Returns hashes (n,) int64 of the directions of vectors (n, dim), rounded.

    The steps are about the standard deviation of an entry, 1 / sqrt(dim), and finer below 128 dimensions. So two
    clips have two hashes, and copies that differ as processors do, or as half precision does, nearly always have one:
    95 % of 850 voices and 98 % of their faces had the same hash in float16.
    """
    vectors = np.asarray(vectors, np.float32)
    dim = vectors.shape[1]
    scale = np.sqrt(dim) * max(1, 128 / dim) / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    steps = np.nan_to_num(np.rint(vectors * scale)).clip(-127, 127).astype(np.int8)
    digests = (hashlib.blake2b(kind.encode() + row.tobytes(), digest_size=8).digest() for row in steps)
    return np.frombuffer(b"".join(digests), dtype="<i8")


def least_of_each(hashes: np.ndarray, clip: np.ndarray, n_clips: int) -> np.ndarray:
    """Returns the least of the hashes (n,) of each clip that has any, of `n_clips` clips."""
    least = np.full(n_clips, np.iinfo(np.int64).max)
    np.minimum.at(least, clip, hashes)
    return least[np.bincount(clip, minlength=n_clips) > 0]
