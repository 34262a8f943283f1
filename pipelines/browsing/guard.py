"""Who may ask: a browser on this machine, at the address that it was told, from the page that was served to it.

- A name that an attacker points at 127.0.0.1 (DNS rebinding) is no address of ours: the Host header is checked.
- Another site's page may send requests here, but knows no token, and reads no answer: there are no CORS headers.
- The page itself may load nothing from elsewhere.
"""

import ipaddress
import secrets
from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from fastapi.responses import JSONResponse

TOKEN_HEADER = "X-Vclip-Token"
READING = ("GET", "HEAD")
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
    """Middleware; `token` stands in the page that is served."""

    def __init__(self, host: str):
        self.token = secrets.token_urlsafe(24)
        self._names = {host, "localhost", "127.0.0.1", "::1"}

    async def __call__(self, request: Request, call_next: Next) -> Response:
        """Answers a request, or says why not."""
        refusal = self._refusal(request)
        response = JSONResponse({"error": refusal}, 403) if refusal else await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _refusal(self, request: Request) -> str:
        host = request.headers.get("host", "")
        if not self._ours(host):
            return f"asked as '{host}', which is no address of this page"
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return f"asked by the page of '{origin}'"
        if request.method not in READING:
            given = request.headers.get(TOKEN_HEADER, "")
            if not secrets.compare_digest(given.encode(), self.token.encode()):
                return "no token, or an old one: reload the page"
        return ""

    def _ours(self, host: str) -> bool:
        name = host[: host.rindex("]") + 1] if host.startswith("[") and "]" in host else host.rsplit(":", 1)[0]
        name = name.strip("[]").lower()
        return name in self._names or (not is_loopback(*self._names) and _is_address(name))


def is_loopback(*hosts: str) -> bool:
    """Returns whether all of these are this machine alone."""
    return all(
        host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback) for host in hosts
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
