"""Every page that jobs write, in a real browser: at the widths of a phone and of a desk, light and dark.

The pages of `vclip browse` and of listening tests are opened by their own tests in a browser.
"""

import pytest

from tests.support.chromium import CHROMIUM, IN_BROWSER, sync_api

pytestmark = IN_BROWSER


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_no_page_scrolls_sideways_or_has_an_error(browser, pages, tmp_path, width):
    tab, wrong = browser.new_page(viewport={"width": width, "height": 900}), []
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    for name in sorted(set(pages) - {"card.md"}):
        file = tmp_path / f"{name}.html"
        file.write_text(pages[name], encoding="utf-8")
        tab.goto(file.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        for bars in tab.locator(".funnel").all():
            assert bars.locator("i").first.bounding_box()["width"] > 90, name
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            page, text = (_brightness(tab, of) for of in ("backgroundColor", "color"))
            assert (page > text) == (scheme == "light"), name
        assert wrong == [], name
    tab.close()


def _brightness(tab, what):
    """The sum of the parts of a colour of the page, which browsers write as rgb(1, 2, 3)."""
    return sum(map(int, tab.evaluate(f"getComputedStyle(document.body).{what}")[4:-1].split(",")))
