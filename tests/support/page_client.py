"""Asks a page over HTTP, with paths sent as they are written."""

import http.client
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from stores import Store


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Of one page."""

    def __init__(self, port: int, store: Store):
        self.port, self.store, self.url = port, store, f"http://127.0.0.1:{port}/"

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: dict | None = None,
        token: bool = True,
    ) -> Answer:
        """Sends one request, by default with the page's token."""
        headers = {**(self.token if token else {}), **(headers or {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def get(self, path: str, **query: object) -> Any:
        """Returns what a GET of the JSON answers."""
        found = self.ask(f"{path}?{urlencode(query)}")
        assert found.status == 200, found.body
        return found.json

    @property
    def token(self) -> dict[str, str]:
        """The header that requests need, from the page."""
        (token,) = re.findall(rb'name="vclip-token" content="([^"]+)"', self.ask("/", token=False).body)
        return {"X-Vclip-Token": token.decode()}

    def edit(self, headers: dict | None = None, **edit: object) -> Answer:
        """Sends one action: `clips` to reject, label or merge, or an `edit_id` to undo."""
        signed = json.dumps({"who": "ann", "why": "seen", **edit}).encode()
        given = {"Content-Type": "application/json", **(headers or {})}
        return self.ask("/api/edits", "POST", signed, given, token=headers is None)
