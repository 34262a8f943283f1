"""`vclip browse`: opens a store and serves its page on this machine."""

import socket
from pathlib import Path

import uvicorn

from pipelines.browsing.app import page_app
from pipelines.browsing.guard import is_loopback
from pipelines.browsing.session import Opened
from pipelines.config import Config
from pipelines.progress import say
from stores import Store
from vclip.errors import InputError


def browse(store_uri: str, model: Path | None, speakers: Path | None, host: str, port: int, config: Config) -> None:
    """Serves the page until it is interrupted.

    Args:
        store_uri: the store.
        model: folder of an association model, for searches across modalities.
        speakers: folder made by `fit-speakers` and `distill`, to speak in new voices; needs the model.
        host, port: where; port 0 takes a free one.
        config: its sections `encoders`, `extraction` and `generate`.

    Raises:
        InputError, StoreError: what is given cannot be used, or the port is taken.
    """
    if speakers and not model:
        raise InputError("browse: found --speakers without --model; a new voice is chosen by a model, give both")
    opened = Opened(Store.open(store_uri), config, model, speakers)
    opened.searcher()  # says now what does not fit
    listening = _listening(host, port)
    port = listening.getsockname()[1]
    if not is_loopback(host):
        say(f"browse: whoever reaches {host} sees these faces and can correct them; there is no password")
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{port}/  (end with Ctrl+C)", flush=True)
    server = uvicorn.Server(uvicorn.Config(page_app(opened, host), log_level="warning", server_header=False))
    server.run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        raise InputError(f"browse: cannot listen at {host}:{port} ({error.strerror}); give another --port") from None
    return listening
