"""The dashboard in a real browser: it shows what happens, asks nobody but Weir, and works on a phone, in the dark,
by keyboard, and where a token is wanted. Screenshots are left in WEIR_SCREENSHOTS where that names a folder."""

import os
import threading
from pathlib import Path

import pytest

import browser as chromium
from admin_client import ask
from test_admin import TOKEN, start_admin  # noqa: F401, a fixture

pytestmark = pytest.mark.skipif(
    chromium.BINARY is None, reason="Chromium is missing (Debian: apt-get install chromium)")


@pytest.fixture
def page():
    page = chromium.Browser()
    page.look()
    yield page
    page.close()


@pytest.fixture
def busy(start_admin, new_script, refusing):
    """Weir with a good backend and a dead one, and requests all the time."""
    address = new_script().server.listener.getsockname()
    weir = start_admin(
        {"name": "good", "address": f"{address[0]}:{address[1]}", "weight": 3},
        {"name": "dead<b>", "address": refusing()}, {"name": "spare", "address": "127.0.0.1:1", "backup": True})
    web = weir.configuration["listeners"]["web"]["bind"]
    enough = threading.Event()

    def load():
        while not enough.wait(0.005):
            ask(web, "/")

    loader = threading.Thread(target=load)
    loader.start()
    yield weir
    enough.set()
    loader.join()
    weir.stop()


def keep_screenshot(page, name):
    picture = page.screenshot()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000
    if folder := os.environ.get("WEIR_SCREENSHOTS"):
        (Path(folder) / f"{name}.png").write_bytes(picture)


def rows(page):
    """The backends' cells by name."""
    lines = page.evaluate(
        "[...document.querySelectorAll('#backends tbody tr')].map(r => [...r.children].map(c => c.innerText))")
    return {line[0]: line for line in lines}


BUSY = "now?.rate > 10 && now.percentiles[2] > 0"


def test_it_shows_what_happens_and_asks_nobody_else(busy, page):
    page.open(f"http://{busy.admin}/")
    page.wait_for(f"{BUSY} && lines.get('rate').length > 3")
    cards = page.text("#cards")
    for name in ("Requests and sessions a second", "Failed a second", "p99", "Client connections"):
        assert name in cards
    assert page.text("#process").startswith("0.")
    page.wait_for("now.pools[0].backends.some(b => b.state === 'ejected')")
    page.wait_for("document.querySelector('#backends .bad')?.innerText === 'ejected'")
    shown = rows(page)
    assert set(shown) == {"good", "dead<b>", "spare"}
    assert "healthy, backup" in shown["spare"][2] and float(shown["good"][4].replace(",", "")) > 0
    assert page.evaluate("document.querySelectorAll('#backends svg polyline').length") == 3
    keep_screenshot(page, "light")
    own = f"http://{busy.admin}/"
    assert {url for url in page.requests if not url.startswith("data:")} == {own, own + "lb/stats"}
    assert page.complaints == []


def test_on_a_phone_and_in_the_dark(busy, page):
    page.look(width=390, height=844, is_dark=True, is_phone=True)
    page.open(f"http://{busy.admin}/")
    page.wait_for(BUSY)
    # The page itself is not wider than the screen; tables scroll within.
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    red, green, blue = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(red, green, blue) < 64
    small = page.evaluate(
        "[...document.querySelectorAll('#pause, #filter')].filter(e => e.getBoundingClientRect().height < 32).length")
    assert small == 0
    keep_screenshot(page, "phone-dark")


def test_by_keyboard(busy, page):
    page.open(f"http://{busy.admin}/")
    page.wait_for(BUSY)
    page.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0"), "it is seen once it has focus"
    page.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pause"
    page.press("Enter", "\r")
    assert page.evaluate("paused") is True and page.text("#pause") == "Go on"
    page.press("p")
    assert page.evaluate("paused") is False
    page.press("/")
    assert page.evaluate("document.activeElement.id") == "filter"
    page.type("goo")
    assert set(rows(page)) == {"good"}
    page.press("Escape")
    assert len(rows(page)) == 3
    page.evaluate("[...document.querySelectorAll('#backends button')].find(b => b.textContent === 'Rate/s').focus()")
    page.press("Enter", "\r")
    assert page.evaluate("sort.column === 'Rate/s' && sort.isDown")
    assert next(iter(rows(page))) == "good"
    # It is drawn anew each second and keeps the focus all the same.
    drawn = page.evaluate("now.uptime_us")
    page.wait_for(f"now.uptime_us > {drawn}")
    assert page.evaluate("document.activeElement.textContent") == "Rate/s"
    assert page.evaluate("document.querySelectorAll('th[aria-sort=descending]').length") == 1


def test_a_token_is_asked_for(start_admin, page):
    weir = start_admin(token=TOKEN)
    page.open(f"http://{weir.admin}/")
    page.wait_for("typeof now !== 'undefined' && !document.getElementById('door').hidden")
    assert page.evaluate("document.activeElement.id") == "token"
    page.type("wrong")
    page.press("Enter", "\r")
    page.wait_for("document.getElementById('notice').textContent.includes('wrong')")
    page.type(TOKEN)
    page.press("Enter", "\r")
    page.wait_for("now && document.getElementById('door').hidden")
    assert "127.0.0.1:1" in rows(page)
    keep_screenshot(page, "token")
    weir.stop()
    page.wait_for("document.getElementById('notice').textContent.startsWith('No answer')")


def test_a_thousand_backends_are_shown_in_part(start_admin, page):
    weir = start_admin(*({"name": f"b{n}", "address": f"127.0.0.1:{n + 1}"} for n in range(1000)))
    page.open(f"http://{weir.admin}/")
    page.wait_for("typeof now !== 'undefined' && now")
    page.wait_for("document.querySelectorAll('#backends tbody tr').length === 200")
    page.press("/")
    page.type("b999")
    assert set(rows(page)) == {"b999"}
