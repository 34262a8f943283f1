"""`vclip browse`: opens a store and its models and serves the page, which is static files, a JSON API and media."""

import getpass
import html
import socket
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from pipelines.browsing import edit_routes, generate_routes, media, routes
from pipelines.browsing.guard import Guard, is_loopback
from pipelines.browsing.session import Session
from pipelines.config import Config
from pipelines.progress import warn
from stores import Store
from stores.errors import StoreError, StoreGone
from vclip.errors import InputError

STATIC = Path(__file__).parent / "static"


def browse(store_uri: str, model: Path | None, speakers: Path | None, host: str, port: int, config: Config) -> None:
    """Serves the page until it is interrupted.

    Args:
        store_uri: the store.
        model: folder of an association model, for searches across modalities.
        speakers: folder made by `fit-speakers` and `distill`, to speak in new voices; needs the model.
        host, port: the address to listen on; port 0 takes a free one.
        config: its sections `encoders`, `extraction` and `generate`.

    Raises:
        InputError, StoreError: the store or a model cannot be used, or the port is taken.
    """
    if speakers and not model:
        raise InputError("browse: found --speakers without --model, which chooses the voice for a face; give both")
    store = Store.open(store_uri)
    store.check_no_deletion("browse")
    session = Session(store, config, model, speakers)
    session.searcher()  # so that models that do not fit end the command now
    listening = listen(host, port)
    port = listening.getsockname()[1]
    if not is_loopback(host):
        warn(f"browse: anybody who can reach {host} sees these faces and can correct them; there is no password")
    shown = f"[{host}]" if ":" in host else host
    print(f"http://{shown}:{port}/  (end with Ctrl+C)", flush=True)
    server = uvicorn.Server(uvicorn.Config(page_app(session, host), log_level="warning", server_header=False))
    server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens at an address; raises InputError where that cannot be done."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()  # from now on requests wait for the server to start
    except OSError as error:
        raise InputError(f"browse: cannot listen at {host}:{port} ({error.strerror}); give another --port") from None
    return listening


def page_app(session: Session, host: str = "127.0.0.1") -> FastAPI:
    """Returns the application that `vclip browse` serves.

    Args:
        session: the store and the models.
        host: the address that the application is served at.
    """
    app, guard = FastAPI(title="vclip browse", docs_url=None, redoc_url=None, openapi_url=None), Guard(host)
    app.middleware("http")(guard)
    app.include_router(routes.routes(session))
    app.include_router(edit_routes.routes(session))
    app.include_router(media.routes(session))
    if session.model_folder and session.speakers_folder:
        app.include_router(generate_routes.routes(session))
    app.mount("/static", StaticFiles(directory=STATIC))
    index = (STATIC / "index.html").read_text(encoding="utf-8")
    index = index.replace("{{token}}", guard.token).replace("{{who}}", html.escape(_user(), quote=True))

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(index, headers={"Cache-Control": "no-store"})

    @app.exception_handler(StoreError)
    @app.exception_handler(InputError)
    def bad_input(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(StoreGone)
    def store_gone(_: Request, error: StoreGone) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 503)

    @app.exception_handler(Exception)  # a defect of ours; its traceback is on stderr
    def defect(_: Request, error: Exception) -> JSONResponse:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return JSONResponse({"error": f"vclip browse failed ({reason}); its output has the traceback"}, 500)

    @app.exception_handler(ClientDisconnect)  # as of a photo that is cancelled while it is sent
    def cancelled(_: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=499)  # nobody reads it

    @app.exception_handler(HTTPException)
    def http_error(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(RequestValidationError)
    def invalid_request(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 400)

    return app


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""
