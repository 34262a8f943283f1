"""Nobody but the page itself may change the store, and nobody reads a file through it."""

import pytest

from pipelines.browsing.bodies import PHOTO_BYTES
from pipelines.browsing.guard import is_loopback
from pipelines.browsing.job import browse
from pipelines.config import Config
from vclip.errors import InputError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    "path",
    [
        "/media/faces/../../../../etc/passwd", "/media/faces/..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/media/%2e%2e/%2e%2e/etc/passwd",
        "/media//etc/passwd", "/media/faces/%2fetc%2fpasswd", "/media/clips/x", "/media/faces/x' OR true --",
        "/media/faces/x'%20OR%20'1'='1", "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py",
        "/static//etc/passwd", "/../../etc/passwd", "/api/neighbours/face/%2fetc%2fpasswd?find=faces",
        "/api/neighbours/face/..%2fphoto.jpg?find=faces", "/api/clips/..%2f..%2fetc%2fpasswd",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_store(page, path):
    found = page.ask(path.replace(" ", "%20"))
    assert found.status in (400, 404)
    assert b"root:" not in found.body
    assert b"FastAPI" not in found.body


def test_other_names_and_other_pages_are_refused(page):
    for host in ("evil.example", f"evil.example:{page.port}", "127.0.0.1.evil.example", "10.0.0.1", ""):
        assert page.ask("/api/clips", headers={"Host": host}).status == 403, host
    for host in (f"127.0.0.1:{page.port}", "localhost", f"LOCALHOST:{page.port}", f"[::1]:{page.port}"):
        assert page.ask("/api/edits", headers={"Host": host}).status == 200, host
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{page.port + 1}"):
        assert page.ask("/api/clips", headers={"Origin": origin}).status == 403, origin
    headers = page.ask("/").headers
    assert "access-control-allow-origin" not in headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["cross-origin-resource-policy"] == "same-origin"


READING = [
    *(
        "/api/store",
        "/api/clips",
        "/api/clips/x",
        "/api/values/gender",
        "/api/neighbours/face/x?find=faces",
        "/api/edits",
    ),
    *("/api/map/faces", "/api/stats.html", "/media/faces/x", "/media/voices/x", "/api/nothing", "/elsewhere"),
]


@pytest.mark.parametrize("path", READING)
def test_reading_needs_the_pages_token_in_a_header_or_in_the_address(page, path):
    more = "&" if "?" in path else "?"
    token = page.token["X-Vclip-Token"]
    for given in ({}, {"X-Vclip-Token": "guess"}, {"Cookie": f"token={token}"}):
        assert page.ask(path, headers=given, token=False).status == 403, given
    assert page.ask(f"{path}{more}token=guess", token=False).status == 403
    assert page.ask(path).status != 403
    assert page.ask(f"{path}{more}token={token}", token=False).status != 403


def test_pages_of_other_sites_are_refused_even_with_the_token(page):
    for site in ("cross-site", "same-site"):  # the same site: a page on another port of this machine
        for path in (*READING, "/static/main.js", "/"):
            assert page.ask(path, headers={"Sec-Fetch-Site": site}).status == 403, path
        linked = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}
        assert page.ask("/", headers=linked, token=False).status == 200
        assert page.ask("/api/clips", headers=linked, token=False).status == 403
    for site in ("same-origin", "none"):
        assert page.ask("/api/clips", headers={"Sec-Fetch-Site": site}).status == 200
    assert page.ask("/", token=False).status == page.ask("/static/main.js", token=False).status == 200


def test_changes_need_the_pages_token(page, photo):
    clip = page.store.query("clips", ["clip_id"], limit=1)["clip_id"][0].as_py()
    for headers in ({}, {"X-Vclip-Token": "guess"}, {"X-Vclip-Token": "gü"}):
        headers = {name: value.encode() for name, value in headers.items()}
        assert page.edit(headers, action="reject", clips=[clip]).status == 403
        assert page.ask("/api/photo", "POST", photo.read_bytes(), headers, token=False).status == 403
    assert page.store.edits() == []
    assert page.ask("/api/edits", "DELETE", headers=page.token).status == 405


def test_photos_are_limited_in_size_and_must_show_a_face(page):
    assert page.ask("/api/photo", "POST", bytes(PHOTO_BYTES + 1), page.token).status == 413
    for content in (b"", b"no image"):
        found = page.ask("/api/photo", "POST", content, page.token)
        assert found.status == 400
        assert "not an image" in found.json["error"]


def test_loopback_addresses_are_recognised():
    assert is_loopback("127.0.0.1", "localhost", "::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("evil.example")


def test_a_taken_port_and_speakers_without_a_model_are_one_line(page, tmp_path):
    with pytest.raises(InputError, match=f"cannot listen at 127.0.0.1:{page.port}"):
        browse(page.store.uri, None, None, "127.0.0.1", page.port, Config())
    with pytest.raises(InputError, match="without --model"):
        browse(page.store.uri, None, tmp_path, "127.0.0.1", 0, Config())
