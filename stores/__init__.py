"""The embedding store on LanceDB. Knows no models: vectors are arrays that name their space.

The names below load on first use: `import stores` loads no LanceDB.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stores.errors import StoreError, StoreUnavailable
    from stores.ids import clip_id, config_hash, face_id, generation_id, run_id, tombstone, video_id, voice_id
    from stores.rows import VideoRows
    from stores.search import Neighbours
    from stores.snapshot import Snapshot
    from stores.store import Store

_MODULE_OF = {
    "Neighbours": "search",
    "Snapshot": "snapshot",
    "Store": "store",
    "StoreError": "errors",
    "StoreUnavailable": "errors",
    "VideoRows": "rows",
    "clip_id": "ids",
    "config_hash": "ids",
    "face_id": "ids",
    "generation_id": "ids",
    "run_id": "ids",
    "tombstone": "ids",
    "video_id": "ids",
    "voice_id": "ids",
}

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


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'stores' has no attribute '{name}'")
    value = getattr(import_module(f"stores.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
