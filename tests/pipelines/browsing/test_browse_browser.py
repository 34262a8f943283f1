"""The page in a real browser: filter, play, neighbour, drop a photo, correct and undo, at two widths."""

import re

import pytest

from tests.support.chromium import CHROMIUM, IN_BROWSER, PATIENCE_MS, expect, sync_api

pytestmark = IN_BROWSER


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=[(390, 844), (1280, 800)], ids=["phone", "desktop"])
def tab(request, browser, page):
    """The gallery, open; an error in the page or a request to another host fails the test."""
    width, height = request.param
    context = browser.new_context(viewport={"width": width, "height": height})
    tab, wrong = context.new_page(), []
    tab.set_default_timeout(PATIENCE_MS)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    own = (page.url, "blob:")
    tab.on("request", lambda request: None if request.url.startswith(own) else wrong.append(request.url))
    tab.goto(page.url)
    tab.wait_for_selector(".tile")
    yield tab
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing hangs over the side
    assert wrong == []
    context.close()


def test_filter_play_neighbours_reject_and_undo(tab, untouched):
    page = untouched
    everyone, women = page.store.count("clips"), page.store.count("clips", "gender = 'f'")
    assert tab.locator(".tile").count() == everyone
    if (opener := tab.locator(".filters .opener")).is_visible():
        opener.click()
    tab.select_option("select[name=gender]", "f")
    expect(tab.locator("main .tile")).to_have_count(women)
    tab.select_option("select[name=gender]", "")
    expect(tab.locator("main .tile")).to_have_count(everyone)

    play = tab.locator(".tile .play").first
    play.click()
    expect(play).to_have_attribute("aria-pressed", "true")
    expect(play).to_have_attribute("style", re.compile(r"--done: 0\.0*[1-9]"))  # it moves on
    play.click()
    expect(tab.locator(".play[aria-pressed=true]")).to_have_count(0)

    first = tab.locator(".tile").first
    clip = first.get_attribute("data-clip")
    first.locator(".face").click()
    for title in (
        "Faces like this one",
        "Voices that suit this face",
        "Voices like this one",
        "Faces that suit this voice",
    ):
        near = tab.locator("#panel section", has=tab.get_by_role("heading", name=title))
        near.locator(".tile").first.wait_for()
        assert near.locator(".tile").count() == 8
    other = tab.locator("#panel .strip .tile").first
    name = other.locator(".name").inner_text()
    other.locator(".face").click()
    expect(tab.locator("#panel h1")).to_have_text(name)
    tab.go_back()

    expect(tab.locator("#panel .facts")).to_contain_text(clip)
    tab.get_by_role("button", name="Reject clip").click()
    tab.fill("#ask [name=why]", "not this face")
    tab.fill("#ask [name=who]", "ann")
    tab.locator("#ask .first").click()
    expect(tab.locator("main .tile")).to_have_count(everyone - 1)
    assert page.store.edits()[-1]["subject"] == clip
    tab.locator("#toast button").click()
    expect(tab.locator("main .tile")).to_have_count(everyone)
    tab.goto(f"{page.url}#edits")
    tab.wait_for_selector(".edit.undone")
    assert "not this face" in tab.locator(".edit.undone").first.inner_text()


def test_map_and_photo(tab, page, photo):
    tab.goto(f"{page.url}#map")
    tab.wait_for_selector(".legend span")
    drawn = "c => new Set(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).size"
    assert tab.locator("canvas").evaluate(drawn) > 4
    tab.goto(f"{page.url}#photo")
    tab.set_input_files("input[type=file]", photo)
    tab.wait_for_selector(".photo .tile")
    tab.reload()
    expect(tab.locator(".photo .tile")).to_have_count(0)
    put = "b => { const t = new DataTransfer(); t.items.add(new File([new Uint8Array(b)], 'photo.jpg')); return t; }"
    carried = tab.evaluate_handle(put, list(photo.read_bytes()))
    tab.dispatch_event(".drop", "drop", {"dataTransfer": carried})
    tab.wait_for_selector(".photo .tile")
    assert tab.locator(".photo h2").all_inner_texts() == ["Voices that suit this face", "Faces like this one"]
    assert tab.locator(".photo .tile").count() == 16
    play = tab.locator(".photo .tile .play").first
    play.click()
    expect(play).to_have_attribute("aria-pressed", "true")
    tab.goto(f"{page.url}#statistics")
    tab.frame_locator("iframe").get_by_text("From videos to clips").wait_for()
