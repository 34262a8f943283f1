"""The page as one application: its files, its JSON, and the guard before all."""

import getpass
import html
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from pipelines.browsing import edit_routes, generate_routes, media, read_routes
from pipelines.browsing.guard import Guard
from pipelines.browsing.session import Opened
from stores.errors import StoreError
from vclip.errors import InputError

STATIC = Path(__file__).parent / "static"


def page_app(opened: Opened, host: str = "127.0.0.1") -> FastAPI:
    """Returns the application that `vclip browse` serves.

    Args:
        opened: the store and the models.
        host: the address that it is served at.
    """
    app, guard = FastAPI(title="vclip browse", docs_url=None, redoc_url=None, openapi_url=None), Guard(host)
    app.middleware("http")(guard)
    app.include_router(read_routes.routes(opened))
    app.include_router(edit_routes.routes(opened))
    app.include_router(media.routes(opened))
    if opened.model_folder and opened.speakers_folder:
        app.include_router(generate_routes.routes(opened))
    app.mount("/static", StaticFiles(directory=STATIC))
    index = (STATIC / "index.html").read_text(encoding="utf-8")
    index = index.replace("{{token}}", guard.token).replace("{{who}}", html.escape(_user(), quote=True))

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(index, headers={"Cache-Control": "no-store"})

    @app.exception_handler(StoreError)
    @app.exception_handler(InputError)
    def mistaken(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 400)

    @app.exception_handler(HTTPException)
    def refused(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code)

    @app.exception_handler(RequestValidationError)
    def misspelt(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse({"error": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"}, 400)

    return app


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""
