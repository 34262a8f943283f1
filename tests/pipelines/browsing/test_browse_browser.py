"""The page in a real browser at two widths: filter, play, neighbours, a photo; select, correct in bulk and undo."""

import re

import pytest

from pipelines import wording
from tests.support.chromium import CHROMIUM, IN_BROWSER, PATIENCE_MS, expect, sync_api

pytestmark = IN_BROWSER


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=[(390, 844), (1400, 900)], ids=["phone", "desktop"])
def tab(request, browser, page):
    """The gallery, open; an error in the page or a request to another host fails the test."""
    width, height = request.param
    scheme = "dark" if width < 500 else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab, wrong = context.new_page(), []
    tab.set_default_timeout(PATIENCE_MS)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
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


def _sign(tab, why):
    tab.fill("#ask [name=why]", why)
    tab.fill("#ask [name=who]", "ann")
    tab.locator("#ask .first").click()


def _drag(tab, points):
    tab.mouse.move(*points[0])
    tab.mouse.down()
    for point in points[1:]:
        tab.mouse.move(*point, steps=4)
    tab.mouse.up()


DRAWN = "c => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(c.toDataURL()))))"


def _genders(store):
    return store.query("clips", ["gender"], order="clip_id")["gender"].to_pylist()


def test_lasso_to_reject_and_undo_of_the_whole(tab, untouched):
    page, everyone = untouched, untouched.store.count("clips")
    tab.goto(f"{page.url}#map")
    tab.get_by_role("button", name="Lasso").click()
    tab.wait_for_selector(".legend span")
    box = tab.locator("canvas").bounding_box()
    left, top, right, bottom = box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]
    half = (left + right) / 2
    _drag(tab, [(half, top + 2), (half, bottom - 2), (left, bottom), (left, top)])
    points = page.get("/api/map/faces")
    inside = {clip for clip, x in zip(points["clips"], points["xy"][::2], strict=True) if x < -1e-3}
    outside = {clip for clip, x in zip(points["clips"], points["xy"][::2], strict=True) if x > 1e-3}
    assert inside
    words = tab.locator("#selection b").inner_text()
    chosen = int(words.split()[0])
    assert len(inside) <= chosen <= everyone - len(outside - inside)
    tab.get_by_role("button", name="Reject …").click()
    expect(tab.locator("#ask h2")).to_have_text(f"Reject {chosen} clips")
    expect(tab.locator("#ask .some img")).to_have_count(min(chosen, 12))
    _sign(tab, "a cluster of noise")
    expect(tab.locator("#toast")).to_contain_text(f"{chosen} clips rejected.")
    assert page.store.count("clips") == everyone - chosen
    assert not inside & set(page.store.query("clips", ["clip_id"])["clip_id"].to_pylist())
    expect(tab.locator("#selection")).to_be_hidden()
    expect(tab.locator(".bar .faint")).to_contain_text(f"{page.store.count('faces')} faces")
    tab.locator("#toast button").click()
    expect(tab.locator("#toast")).to_contain_text(f"{chosen} corrections undone.")
    tab.locator("#toast button").click()
    expect(tab.locator("#toast")).to_contain_text(f"{chosen} corrections redone.")
    assert page.store.count("clips") == everyone - chosen
    tab.keyboard.press("u")  # what was redone can be undone again
    expect(tab.locator("#toast")).to_contain_text(f"{chosen} corrections undone.")
    assert page.store.count("clips") == everyone
    tab.goto(f"{page.url}#edits")
    expect(
        tab.locator(".edit.undone", has_text=f"Rejected {chosen} clips").first
    ).to_be_visible()  # one action, one row


def test_a_correction_leaves_the_map_as_it_was_moved_and_zoomed(tab, untouched):
    tab.goto(f"{untouched.url}#map")
    tab.wait_for_selector(".legend span")
    tab.select_option("[name=colour]", "quality")
    tab.wait_for_selector(".legend .scale")
    canvas = tab.locator("canvas")
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    whole = canvas.evaluate(DRAWN)
    tab.mouse.move(x, y)
    tab.mouse.wheel(0, -100)
    _drag(tab, [(x, y), (x + 12, y + 8)])
    tab.mouse.move(0, 0)
    moved = canvas.evaluate(DRAWN)
    assert moved != whole
    tab.get_by_role("button", name="Lasso").click()
    left, top = box["x"] + 15, box["y"] + 15  # within its round corners
    right, bottom = left + box["width"] - 30, top + box["height"] - 30
    _drag(tab, [(left, top), (right, top), (right, bottom), (left, bottom)])
    tab.get_by_role("button", name="Label …").click()
    tab.fill("#ask [name=value]", "one")
    with tab.expect_response("**/api/map/faces?*"):
        _sign(tab, "seen")
    expect(tab.locator("#selection")).to_be_hidden()
    tab.mouse.move(0, 0)
    expect(tab.locator(".legend .scale")).to_be_visible()
    assert canvas.evaluate(DRAWN) == moved


def test_two_fingers_zoom_the_map_and_select_nothing(tab, page):
    tab.goto(f"{page.url}#map")
    tab.wait_for_selector(".legend span")
    tab.get_by_role("button", name="Lasso").click()
    tab.mouse.move(0, 0)
    canvas, touch = tab.locator("canvas"), tab.context.new_cdp_session(tab)
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def pinch(*halves_px):
        for half in halves_px:
            fingers = [{"x": x - half, "y": y, "id": 0}, {"x": x + half, "y": y, "id": 1}]
            kind = "touchStart" if half == halves_px[0] else "touchMove"
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        return canvas.evaluate(DRAWN)

    whole = canvas.evaluate(DRAWN)
    near = pinch(20, 50, 80)
    assert near != whole
    assert pinch(80, 70) not in (near, whole)
    assert pinch(80, 40, 10) == whole  # it becomes no smaller than that
    expect(tab.locator("#selection")).to_be_hidden()
    expect(tab.locator("#panel")).to_be_hidden()


def test_rejected_clips_that_the_filters_hide_are_not_subtracted(tab, untouched):
    tab.keyboard.press("a")
    expect(tab.locator("#selection")).to_be_visible()
    tab.keyboard.press("/")
    tab.select_option("select[name=gender]", "f")
    expect(tab.locator(".summary [role=status]")).to_contain_text(str(untouched.store.count("clips", "gender = 'f'")))
    tab.get_by_role("button", name="Reject …").click()
    tab.wait_for_load_state("networkidle")  # images that are on their way are not there any more afterwards
    _sign(tab, "all of them")
    expect(tab.locator(".summary [role=status]")).to_have_text("0 clips")


def test_numbers_are_written_as_on_other_pages_and_times_never_show_sixty_seconds(tab):
    for name, values in {
        "seconds": [0.0, 3.42, 9.96, 34.2, 59.7, 89.4, 119.7, 250.0],
        "percent": [0.0, 0.0123, 0.05, 0.123, 0.9, 0.9958, 0.99996, 1.0],
        "number": [0.8234, 12.345, 0.98, 1234.6, 7.0, -5.0],
    }.items():
        script = f"values => import('/static/dom.js').then(({{ {name} }}) => values.map({name}))"
        assert tab.evaluate(script, values) == [getattr(wording, name)(value) for value in values]
    clocks = "import('/static/dom.js').then(({ clock }) => [59.96, 119.7, 89.4, 9.96].map(clock))"
    assert tab.evaluate(clocks) == ["1:00.0", "1:59.7", "1:29.4", "0:10.0"]


def test_a_face_that_keys_move_to_is_not_under_the_header(tab, page):
    tab.locator("main .tile .face").last.focus()
    for _ in range(tab.locator("main .tile").count()):
        tab.keyboard.press("ArrowUp")
        top = tab.evaluate("document.activeElement.getBoundingClientRect().top")
        assert top >= tab.locator("header").bounding_box()["height"]


def test_corrections_that_come_late_leave_the_view_that_was_opened_since(tab, page):
    held = []
    tab.route("**/api/edits*", lambda route: held.append(route))
    with tab.expect_request("**/api/edits*"):
        tab.goto(f"{page.url}#edits")
    tab.goto(f"{page.url}#faces")
    expect(tab.locator("main .tile")).to_have_count(page.store.count("clips"))
    with tab.expect_response("**/api/edits*"):
        held[0].continue_()
    tab.evaluate("new Promise(done => setTimeout(done))")
    expect(tab.locator("main .tile")).to_have_count(page.store.count("clips"))


def test_the_head_of_the_panel_covers_no_link(tab):
    tab.locator("main .tile .face").first.click()
    links = tab.locator("#panel .facts .plain")
    links.first.wait_for()
    tab.evaluate("document.getElementById('panel').scrollTop = 1e6")
    seen = """link => { const { x, y, width, height } = link.getBoundingClientRect();
        return document.elementFromPoint(x + width / 2, y + height / 2) === link; }"""
    for number in reversed(range(links.count())):
        links.nth(number).focus()
        assert links.nth(number).evaluate(seen)
    tab.get_by_role("button", name="Close").click()
    expect(tab.locator("#panel")).to_be_hidden()


def test_box_label_merge_and_undo_with_the_keyboard(tab, untouched):
    store = untouched.store
    before, clips = _genders(store), store.query("clips", ["clip_id"], order="clip_id")["clip_id"].to_pylist()
    tiles = tab.locator("main .tile")
    (first, third), box = (tiles.nth(0).bounding_box(), tiles.nth(2).bounding_box()), tab.locator(".box")
    _drag(tab, [(first["x"] + 5, first["y"] + 5), (third["x"] + 30, third["y"] + 30)])
    expect(tab.locator("main .tile.picked")).to_have_count(3)
    expect(box).to_have_count(0)
    tiles.nth(1).locator(".face").click(modifiers=["Control"])
    expect(tab.locator("main .tile.picked")).to_have_count(2)
    tiles.nth(5).locator(".face").click(modifiers=["Shift"])
    expect(tab.locator("#selection b")).to_have_text("6 clips selected")
    assert tab.evaluate("location.hash") in ("", "#faces")  # no clip was opened
    tab.keyboard.press("l")
    tab.select_option("#ask [name=name]", "gender")
    tab.fill("#ask [name=value]", "x")
    with tab.expect_response("**/api/clips?*"):  # the gallery shows the corrected clips
        _sign(tab, "seen")
    expect(tab.locator("#toast")).to_contain_text("gender of 6 clips corrected.")
    assert _genders(store) == ["x"] * 6 + before[6:]

    tiles.nth(0).locator(".face").focus()
    tab.keyboard.press("x")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("x")
    expect(tab.locator("main .tile.picked")).to_have_count(2)
    people = store.query("clips", ["identity"], f"clip_id IN ('{clips[0]}', '{clips[1]}')")["identity"].to_pylist()
    tab.keyboard.press("m")
    expect(tab.locator("#ask")).to_contain_text("2 people:")
    tab.fill("#ask [name=kept]", people[1])
    _sign(tab, "the same person")
    expect(tab.locator("#toast")).to_contain_text(f"merged into {people[1]}.")
    assert store.count("clips", f"identity = '{people[0]}'") == 0
    for _ in range(2):
        tab.keyboard.press("u")
        expect(tab.locator("#toast")).to_contain_text("undone.")
        tab.locator("#toast").evaluate("toast => toast.replaceChildren()")
    assert _genders(store) == before
    assert store.count("clips", f"identity = '{people[0]}'") > 0
    tab.keyboard.press("?")
    expect(tab.locator("#ask")).to_contain_text("undo the last action")
    tab.keyboard.press("Escape")
    tab.keyboard.press("a")
    expect(tab.locator("#selection b")).to_have_text(f"{len(clips)} clips selected")
    tab.keyboard.press("Escape")
    expect(tab.locator("#selection")).to_be_hidden()


def test_filters_have_names_and_addresses(tab, page):
    long = page.store.count("clips", "end_s - start_s >= 2 AND speaking_score <= 0.9")
    tab.keyboard.press("/")
    tab.fill("[name=min_s]", "2")
    tab.select_option("[name=measure]", "speaking_score")
    tab.fill("[name=high]", "0.9")
    expect(tab.locator(".summary [role=status]")).to_have_text(re.compile(rf"^{long} clips?$"))
    tab.get_by_role("button", name="Save filters …").click()
    tab.fill("#ask [name=filters]", "Long clips")
    tab.locator("#ask .first").click()
    expect(tab.locator(".chip")).to_have_text("Long clips×")
    address = tab.evaluate("location.href")
    tab.get_by_role("button", name="Clear filters").click()
    expect(tab.locator(".summary [role=status]")).to_have_text(f"{page.store.count('clips')} clips")
    tab.reload()
    tab.locator(".chip button").first.click()
    expect(tab.locator(".summary [role=status]")).to_have_text(re.compile(rf"^{long} clips?$"))
    tab.evaluate("localStorage.clear()")
    tab.goto(page.url)
    tab.goto(address)  # as another person would open it
    expect(tab.locator(".saved")).to_contain_text("Long clips (from a link)")
    expect(tab.locator(".summary [role=status]")).to_have_text(re.compile(rf"^{long} clips?$"))


def test_where_the_browser_keeps_nothing_filters_have_names_until_the_page_is_closed(tab, page):
    blocked = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('', 'SecurityError'); } })"
    )
    tab.context.add_init_script(blocked)
    tab.goto(page.url)
    tab.wait_for_selector(".tile")
    tab.keyboard.press("/")
    tab.fill("[name=min_s]", "2")
    tab.get_by_role("button", name="Save filters …").click()
    tab.fill("#ask [name=filters]", "Long clips")
    tab.locator("#ask .first").click()
    expect(tab.locator(".chip")).to_have_text("Long clips×")
