"""The dashboard in a real browser: it shows what happens, asks nobody but Weir, and works on a phone, in the dark,
by keyboard, and where a token is wanted. Screenshots are left in WEIR_SCREENSHOTS where that names a folder."""

import json
import os
import re
import threading
from pathlib import Path

import pytest

import browser as chromium
from addresses import free_port
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


#: Of the log, the newest first.
LINES = "document.querySelectorAll('#log li').length"

BUSY = "now?.rate > 10 && now.percentiles[2] > 0"


def test_it_shows_what_happens_and_asks_nobody_else(busy, page):
    page.open(f"http://{busy.admin}/")
    page.wait_for(f"{BUSY} && lines.get('rate').length > 3")
    cards = page.text("#cards")
    for name in ("Requests and sessions a second", "Failed a second", "p99", "Client connections"):
        assert name in cards
    assert re.search(r"[0-9.]+%, answered 5xx [0-9]", cards)
    assert page.text("#process").startswith("0.")
    page.wait_for("now.pools[0].backends.some(b => b.state === 'ejected')")
    page.wait_for("document.querySelector('#backends .bad')?.innerText === 'ejected'")
    shown = rows(page)
    assert set(shown) == {"good", "dead<b>", "spare"}
    assert "healthy, backup" in shown["spare"][2] and float(shown["good"][4].replace(",", "")) > 0
    assert page.evaluate("document.querySelectorAll('#backends svg polyline').length") == 3
    keep_screenshot(page, "light")
    asked = {url.partition("?")[0] for url in page.requests if not url.startswith("data:")}
    own = f"http://{busy.admin}/"
    assert asked == {own, own + "lb/stats", own + "lb/log", own + "lb/history"}
    assert page.complaints == []


def test_on_a_phone_and_in_the_dark(busy, page):
    page.look(width=375, height=812, is_dark=True, is_phone=True)
    page.open(f"http://{busy.admin}/")
    page.wait_for(BUSY)
    page.wait_for(LINES)
    page.evaluate("document.querySelector('#log summary').click()")
    # The page itself is not wider than the screen; tables scroll within.
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    red, green, blue = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert max(red, green, blue) < 64
    small = page.evaluate(
        "[...document.querySelectorAll('#pause, input, select, #log summary')]"
        ".filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 32).length")
    assert small == 0
    keep_screenshot(page, "phone-dark")


def test_by_keyboard(busy, page):
    page.open(f"http://{busy.admin}/")
    page.wait_for(BUSY)
    page.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0"), "it is seen once it has focus"
    page.press("Tab")
    assert page.text(":focus") == "To the log"
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


# -- The log

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>"


def choose(page, name, value):
    page.evaluate(
        f"$('{name}').value = {json.dumps(value)}, $('{name}').dispatchEvent(new Event('change'))")


def shown(page):
    """Each line as its cells."""
    return page.evaluate(
        "[...document.querySelectorAll('#log summary')].map(s => [...s.children].map(c => c.textContent))")


@pytest.fixture
def logging(start_admin, new_script, refusing):
    """Weir with two listeners, one of them in front of nobody, and nothing that happens by itself."""
    address = new_script().server.listener.getsockname()
    weir = start_admin(
        {"name": "good", "address": f"{address[0]}:{address[1]}"},
        listeners={
            "web": {"bind": f"127.0.0.1:{free_port()}", "pool": "site", "mode": "http"},
            "broken": {"bind": f"127.0.0.1:{free_port()}", "pool": "gone", "mode": "http"},
        },
        pools={"site": {"backends": [{"name": "good", "address": f"{address[0]}:{address[1]}"}]},
               "gone": {"backends": [{"name": "dead<i>", "address": refusing()}]}})
    weir.get = lambda path, listener="web", **headers: ask(
        weir.configuration["listeners"][listener]["bind"], path, headers=headers)
    return weir


def test_the_newest_log_lines_are_shown_first_and_as_text(logging, page):
    page.open(f"http://{logging.admin}/")
    page.wait_for("now && document.getElementById('log-note').textContent === 'Nothing yet.'")
    logging.get("/first")
    logging.get("/" + HOSTILE.replace(" ", "%20"), **{"User-Agent": HOSTILE})
    logging.get("/lost", "broken")
    page.wait_for(f"{LINES} === 3")
    lines = sorted(shown(page), key=lambda cells: cells[0], reverse=True)
    assert sorted(cells[1] for cells in lines) == ["200", "200", "503 no_backend"]
    assert any("connect_refused GET" in cells[-1] and cells[5] == "gone/dead<i>" for cells in lines)
    assert shown(page) == lines, "the newest first"
    page.evaluate("[...document.querySelectorAll('#log summary')].forEach(s => s.click())")
    page.wait_for("document.querySelectorAll('#log dl').length === 3")
    words = page.text("#log")
    assert HOSTILE in words and "weir explain --request " in words and "pick.policy" in words
    # What clients and the configuration say is text, nothing else.
    assert page.evaluate("document.title") == "Weir"
    assert page.evaluate("document.querySelectorAll('#log script, #log img, #log i, main script').length") == 0
    assert page.evaluate("[...$('log-backend').options].map(o => o.text)") == [
        "any backend", "site / good", "gone / dead<i>"]
    keep_screenshot(page, "log")
    assert page.complaints == []


def test_a_browser_refuses_markup_in_this_page(logging, page):
    page.open(f"http://{logging.admin}/")
    page.wait_for("now")
    refused = page.evaluate("(() => { try { document.body.innerHTML = '<b>x</b>'; } catch (e) { return e.name; } })()")
    assert refused == "TypeError"


def test_log_filters(logging, page):
    page.open(f"http://{logging.admin}/")
    for path, listener in (("/a", "web"), ("/b%20c", "web"), ("/a", "broken")):
        logging.get(path, listener)
    page.wait_for(f"{LINES} === 3")
    for name, value, count in (
        ("log-status", "5xx", 1), ("log-status", "2xx", 2), ("log-status", "3xx", 0), ("log-status", "", 3),
        ("log-listener", "broken", 1), ("log-listener", "", 3), ("log-backend", '["site","good"]', 2),
        ("log-backend", '["gone","dead<i>"]', 1), ("log-backend", "", 3),
    ):
        choose(page, name, value)
        page.wait_for(f"logFilters === chosenFilters() && {LINES} === {count}")
    page.press("l")
    assert page.evaluate("document.activeElement.id") == "log-text"
    page.type("B%20C")
    page.wait_for(f"{LINES} === 1")
    # What comes is filtered as well.
    logging.get("/b%20c/2")
    logging.get("/other")
    page.wait_for(f"{LINES} === 2 && logState.kept === 5")
    page.press("Escape")
    page.wait_for(f"{LINES} === 5")
    choose(page, "log-kind", "events")
    page.wait_for("document.querySelector('#log .event') && $('log-status').disabled")
    events = [cells[1] for cells in shown(page)]
    assert "starting" in events and "listening" in events and events[-1] == "starting"


def test_a_line_that_is_read_stays(logging, page):
    page.open(f"http://{logging.admin}/")
    logging.get("/read")
    page.wait_for(f"{LINES} === 1")
    page.evaluate("document.querySelector('#log summary').focus()")
    page.press("Enter", "\r")
    page.wait_for("document.querySelector('#log details[open] dl') && $('log-note').textContent.startsWith('Held')")
    logging.get("/newer")
    drawn = page.evaluate("now.uptime_us")
    page.wait_for(f"now.uptime_us > {drawn} + 2.5e6")
    assert len(shown(page)) == 1
    page.press("Escape")
    page.wait_for(f"{LINES} === 2 && !document.querySelector('#log details[open]')")
    assert page.evaluate("logState.gap") is False


def test_logs_that_are_off_or_text(start_admin, page):
    weir = start_admin(logs={"access": "off", "format": "text"})
    weir.events_path = "/dev/null"
    page.open(f"http://{weir.admin}/")
    page.wait_for("$('log-note').textContent === 'logs.access is off: no records are made.'")
    choose(page, "log-kind", "events")
    page.wait_for("document.querySelector('#log .event') !== null")
    assert any(cells[1] == "listening" and "pool=site" in cells[2] for cells in shown(page))


def test_what_was_applied_is_shown(start_admin, page):
    weir = start_admin()
    page.open(f"http://{weir.admin}/")
    page.wait_for("document.querySelectorAll('#history tbody tr').length === 1")
    weir.configuration_path.write_text("listeners: 5")
    assert ask(weir.admin, "/lb/reload", "POST").status == 422
    page.wait_for("document.querySelectorAll('#history tbody tr').length === 2")
    newest = page.text("#history tbody tr")
    assert newest.startswith("–") and "reload" in newest and "not applied: " in newest
    assert page.evaluate("document.querySelector('#history .bad') !== null")


# -- Changing something

def button_of(name):
    """The button in the row of a backend, in the page's words."""
    return ("[...document.querySelectorAll('#backends tbody tr')].find(r => r.children[0].innerText === "
            f"{json.dumps(name)}).querySelector('button')")


def state_of(weir, name):
    pools = ask(weir.admin, "/lb/backends").json()["pools"]
    return next(b["state"] for pool in pools for b in pool["backends"] if b["name"] == name)


def test_a_backend_is_drained_and_enabled_after_a_question(logging, page):
    page.open(f"http://{logging.admin}/")
    page.wait_for("document.querySelectorAll('#backends tbody tr').length === 2")
    page.evaluate(f"{button_of('dead<i>')}.click()")
    page.wait_for("document.getElementById('question').open")
    assert page.text("#question-text").startswith("Drain dead<i> of pool gone?")
    keep_screenshot(page, "question")
    # Leaving it leaves it.
    page.evaluate("document.getElementById('no').click()")
    page.wait_for("!document.getElementById('question').open")
    assert state_of(logging, "dead<i>") == "healthy"
    page.evaluate(f"{button_of('dead<i>')}.click()")
    page.evaluate("document.getElementById('yes').click()")
    page.wait_for("document.getElementById('done').textContent === 'dead<i> of pool gone: draining.'")
    assert state_of(logging, "dead<i>") == "draining"
    page.wait_for(f"{button_of('dead<i>')}.textContent === 'Enable'")
    assert rows(page)["dead<i>"][2].strip().endswith("draining")
    page.evaluate(f"{button_of('dead<i>')}.click()")
    page.evaluate("document.getElementById('yes').click()")
    page.wait_for(f"{button_of('dead<i>')}.textContent === 'Drain'")
    assert state_of(logging, "dead<i>") == "healthy" and page.complaints == []


def test_a_backend_is_drained_by_keyboard(logging, page):
    page.open(f"http://{logging.admin}/")
    page.wait_for("document.querySelectorAll('#backends tbody tr').length === 2")
    page.evaluate(f"{button_of('good')}.focus()")
    # Drawn anew, it keeps the focus among others that say the same.
    drawn = page.evaluate("now.uptime_us")
    page.wait_for(f"now.uptime_us > {drawn} + 1e6")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Drain good of pool site"
    page.press("Enter", "\r")
    page.wait_for("document.getElementById('question').open")
    assert page.evaluate("document.activeElement.id") == "no"
    page.press("Escape")
    page.wait_for("!document.getElementById('question').open")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Drain good of pool site"
    page.press("Enter", "\r")
    page.wait_for("document.getElementById('question').open")
    page.press("Tab")
    page.press("Enter", "\r")
    page.wait_for("document.getElementById('done').textContent.endsWith('draining.')")
    assert state_of(logging, "good") == "draining"
    assert logging.get("/").status == 503


def test_what_cannot_be_done_is_told(start_admin, page):
    weir = start_admin(token=TOKEN)
    page.open(f"http://{weir.admin}/")
    page.wait_for("!document.getElementById('door').hidden")
    page.type(TOKEN)
    page.press("Enter", "\r")
    page.wait_for("now && document.querySelectorAll('#backends tbody tr').length === 1")
    # With its token it may; a backend that is gone it cannot change.
    page.evaluate("change({ name: 'b/ä?', pool: 'site' }, 'drain')")
    page.wait_for("document.getElementById('done').textContent.startsWith('b/ä? of pool site is as it was: ')")
    page.evaluate("change(now.pools[0].backends[0], 'drain')")
    page.wait_for("document.getElementById('done').textContent.endsWith('draining.')")
    weir.stop()
    page.evaluate("change(now.pools[0].backends[0], 'enable')")
    page.wait_for("document.getElementById('done').textContent.startsWith('Nobody knows')")
