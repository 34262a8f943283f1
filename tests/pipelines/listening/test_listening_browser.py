"""The page in a real browser, by keyboard, at the width of a phone: rate, close, go on, download, read back."""

import json

import pytest

from tests.support.chromium import CHROMIUM, IN_BROWSER, PATIENCE_MS, expect, sync_api

pytestmark = IN_BROWSER


@pytest.fixture
def context():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_context(viewport={"width": 390, "height": 844})
        opened.set_default_timeout(PATIENCE_MS)
        yield opened
        browser.close()


@pytest.fixture
def opened(context, said, vclip, tmp_path):
    """Opens a test of two items in a tab; what goes wrong in the page fails the test."""
    out, wrong = tmp_path / "test", []
    answer = vclip("listening-test", "make", *(f"{k}={v}" for k, v in said.items()), "--items", 1, "--out", out)
    assert answer.code == 0, answer.err

    def tab():
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        local = ("file:", "data:", "blob:")
        page.on("request", lambda asked: None if asked.url.startswith(local) else wrong.append(asked.url))
        page.goto((out / "test.html").as_uri())
        return page

    yield tab, out
    assert wrong == []


def _rate(page, rating):
    """By keyboard: nothing can be chosen before the audio has played to its end."""
    page.keyboard.press(str(rating))
    expect(page.locator("#next")).to_be_disabled()
    page.keyboard.press("Space")
    expect(page.locator("#scale input").first).to_be_enabled()
    page.keyboard.press(str(rating))
    expect(page.locator(f"#scale input[value='{rating}']")).to_be_checked()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing hangs over the side
    page.keyboard.press("Enter")


def test_rate_close_go_on_download_and_read(opened, vclip, tmp_path):
    tab, out = opened
    page = tab()
    page.fill("#name", "Ann")
    page.keyboard.press("Enter")
    expect(page.locator("#where")).to_have_text("1 of 4")
    expect(page.locator("#face")).to_be_hidden()
    _rate(page, 5)
    page.keyboard.press("Backspace")
    expect(page.locator("#scale input[value='5']")).to_be_checked()
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    _rate(page, 4)
    expect(page.locator("#face")).to_be_visible()
    page.goto("about:blank")  # leaves as a person does: a tab that is killed may lose what it has just stored
    page.close()

    page = tab()
    expect(page.locator("#where")).to_have_text("3 of 4")
    for rating in (2, 1):
        _rate(page, rating)
    with page.expect_download() as download:
        page.keyboard.press("Enter")  # the button has the focus
    answers = tmp_path / "answers.json"
    download.value.save_as(answers)
    told = json.loads(answers.read_text())
    assert told["name"] == "Ann"
    assert [row["rating"] for row in told["ratings"]] == [4, 4, 2, 1]
    said = vclip("listening-test", "read", answers, "--test", out, "--json")
    assert said.code == 0, said.err
    found = {row["system"]: row for row in json.loads(said.out)["systems"]}
    assert {row["naturalness"]["value"] for row in found.values()} == {4}
    assert {row["matching"]["value"] for row in found.values()} == {2, 1}


def test_each_listener_has_an_order_of_their_own(context, made):
    orders = set()
    for _ in range(3):
        page = context.new_page()
        page.goto((made / "test.html").as_uri())
        page.click("#begin")
        trials = page.evaluate("state.trials")
        assert [t["question"] for t in trials] == ["naturalness"] * 8 + ["matching"] * 8
        assert len({(t["question"], t["item"]) for t in trials}) == 16
        orders |= {tuple(t["item"] for t in trials[:8]), tuple(t["item"] for t in trials[8:])}
        page.evaluate("localStorage.clear()")
        page.close()
    assert len(orders) == 6  # of 40,320 each
