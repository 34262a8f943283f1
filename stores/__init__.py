"""The embedding store on LanceDB. Knows no models: vectors are arrays that name their space."""

from stores.errors import StoreError, StoreUnavailable
from stores.ids import clip_id, config_hash, face_id, generation_id, run_id, tombstone, video_id, voice_id
from stores.rows import VideoRows
from stores.search import Neighbours
from stores.snapshot import Snapshot
from stores.store import Store

__all__ = [
    "Neighbours",
    "Snapshot",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "VideoRows",
    "clip_id",
    "config_hash",
    "face_id",
    "generation_id",
    "run_id",
    "tombstone",
    "video_id",
    "voice_id",
]
