"""The real browser that pages are tested in; whoever imports this is skipped where there is no Playwright."""

import shutil

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = sync_api.expect
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
IN_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on PATH to open the page in"),
]
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)
