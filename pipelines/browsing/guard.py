"""The guard: only the page that this server sent may ask it for anything, and only at the server's own address.

- DNS rebinding points a foreign name at 127.0.0.1: the Host header must be an address of this server.
- Pages of other sites can send requests here, and a search or a filter costs time even where they cannot read the
  answer. So every request but that for the page and its static files needs the page's token, reading ones too.
  Scripts send it in a header; images, audio and frames, which cannot, have it in their address. A cookie would not
  do: browsers send cookies to every port of a machine, and count pages on other ports as the same site.
- Browsers say in Sec-Fetch-Site whose page a request is from; those of others are refused whatever they hold.
- The page itself may load nothing from elsewhere.
"""

import ipaddress
import secrets
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.responses import JSONResponse

TOKEN_HEADER = "X-Vclip-Token"
TOKEN_PARAMETER = "token"
OPEN_PATHS = ("/", "/static/")  # the page, which holds the token, and files that are the same for everybody
POLICY = (
    "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Next = Callable[[Request], Awaitable[Response]]


class Guard:
    """Middleware that refuses foreign requests; the page carries its `token`."""

    def __init__(self, host: str):
        self.token = secrets.token_urlsafe(24)
        self._names = {host, "localhost", "127.0.0.1", "::1"}

    async def __call__(self, request: Request, call_next: Next) -> Response:
        """Returns the response to a request, or a refusal with the reason."""
        refusal = self._refusal(request)
        response = JSONResponse({"error": refusal}, 403) if refusal else await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _refusal(self, request: Request) -> str:
        host = request.headers.get("host", "")
        if not self._ours(host):
            return f"'{host}' is not an address of this page"
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return f"requests from pages of '{origin}' are refused"
        path = request.url.path
        page = path == OPEN_PATHS[0]
        if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not (
            page and request.headers.get("sec-fetch-mode") == "navigate"  # a link to the page
        ):
            return "requests from pages of other sites are refused"
        if not page and not path.startswith(OPEN_PATHS[1]):
            given = request.headers.get(TOKEN_HEADER) or request.query_params.get(TOKEN_PARAMETER, "")
            if not secrets.compare_digest(given.encode("utf-8", "replace"), self.token.encode()):
                return "the token is missing or outdated; reload the page"
        return ""

    def _ours(self, host: str) -> bool:
        name = host[: host.rindex("]") + 1] if host.startswith("[") and "]" in host else host.rsplit(":", 1)[0]
        name = name.strip("[]").lower()
        return name in self._names or (not is_loopback(*self._names) and _is_address(name))


def is_loopback(*hosts: str) -> bool:
    """Returns whether all of these addresses can only be reached from this machine."""
    return all(
        host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback) for host in hosts
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
