"""The page in a real browser: no complaint, no request, and its controls do what they say."""

from __future__ import annotations

import pytest


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide-light", "phone-dark"])
def opened(request, browser, page):
    width, scheme = request.param
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    complaints: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("request", lambda sent: requests.append(sent.url))
    tab.goto(page.as_uri())
    tab.wait_for_selector(".plot .main-svg")
    yield tab, scheme
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    tab.close()


def test_plots_are_drawn_and_nothing_overflows(opened):
    tab, _ = opened
    assert tab.locator(".plot .main-svg").count() >= 4
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_theme_follows_the_system_and_the_button(opened):
    tab, scheme = opened
    assert tab.evaluate("document.documentElement.dataset.theme") == scheme
    ink = tab.evaluate("getComputedStyle(document.body).color")
    tab.locator("#theme").click()
    assert tab.evaluate("document.documentElement.dataset.theme") != scheme
    assert tab.evaluate("getComputedStyle(document.body).color") != ink


def test_the_slider_moves_all_three_strips_by_keyboard(opened):
    tab, _ = opened
    clip = tab.locator(".clip").first
    clip.scroll_into_view_if_needed()
    slider = clip.locator("input[type=range]")
    slider.focus()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    assert slider.input_value() == "3"
    moved = clip.locator("img").evaluate_all("images => images.map(i => i.style.transform)")
    assert moved == ["translateX(-37.5%)"] * 3
    assert clip.locator("output").inner_text().startswith("frame 4, key frame: SSIM")


def test_boxes_are_drawn_on_their_frame_only(opened):
    tab, _ = opened
    clip = tab.locator(".clip").first
    clip.scroll_into_view_if_needed()
    assert clip.locator("rect").count() == 3
    assert clip.locator("rect").first.get_attribute("width") == "24"
    clip.locator("input[type=range]").fill("1")
    assert clip.locator("rect").count() == 0


def test_play_moves_on_by_itself_and_stops(opened):
    tab, _ = opened
    clip = tab.locator(".clip").first
    clip.scroll_into_view_if_needed()
    button = clip.locator(".play")
    button.press("Enter")
    tab.wait_for_function("document.querySelector('.clip input').value !== '0'")
    assert button.inner_text() == "Stop"
    button.press("Enter")
    assert button.inner_text() == "Play"
