"""The board's pages in a real browser: Debian's Chromium, driven by playwright."""

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from bank.board.feed import Batch
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import AccountEntry, CertifiedEntry, SpentEntry
from bank.formats.order import SPEND_LABEL
from mixmint.keys import SigningKey
from tests.integration.board.chromium import chromium
from tests.integration.board.conftest import Clients

BANK = SigningKey(b"b" * 32)
VIEWS = {"desktop": (1280, 900), "phone": (360, 740)}
PHONE = VIEWS["phone"]


def certified(number: int, exponent: int) -> bytes:
    coin = coin_id(SigningKey(number.to_bytes(32)).public)
    signature = sign_certificate(BANK, bank_id(BANK.public), exponent, 1, coin)
    return CertifiedEntry(coin, exponent, 1, signature).encode()


def spent(number: int) -> bytes:
    key, seal = SigningKey(number.to_bytes(32)), bytes([number % 256]) * 32
    return SpentEntry(key.public, seal, key.sign(SPEND_LABEL, seal)).encode()


@pytest.fixture
async def board(make_board, clients):
    """A board with some history: 3,071 units certified, 384 spent, two accounts."""
    board = make_board(round_ms=150)
    board.start()
    feed = clients.feed(board)
    groups = [
        [AccountEntry(bytes([one]) * 32).encode() for one in (1, 2)],
        [certified(n, n - 1) for n in range(1, 12)],
        [spent(8), certified(20, 7)],
        [spent(9), certified(21, 8), certified(22, 9), certified(23, 7)],
    ]
    for number, group in enumerate(groups, start=1):
        receipt = await feed.feed(Batch(number, [group]))
        await clients.until_round(board, receipt.round + number % 2)
    return board


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def watch(page: Page, origin: str) -> list[str]:
    """Collects whatever must not happen: requests elsewhere, failed ones, console errors."""
    faults: list[str] = []
    page.on(
        "request",
        lambda request: None if request.url.startswith(origin + "/") else faults.append(request.url),
    )
    page.on(
        "console",
        lambda message: faults.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    return faults


OUTLINE = """() => {
  const faults = [];
  const all = (selector) => [...document.querySelectorAll(selector)];
  const levels = all("h1, h2, h3").map((each) => Number(each.tagName[1]));
  if (levels.filter((level) => level === 1).length !== 1) faults.push("one h1");
  levels.forEach((level, at) => {
    if (at && level > levels[at - 1] + 1) faults.push(`h${level} after a gap`);
  });
  for (const input of all("input, button")) {
    if (!input.labels?.length && !input.textContent.trim()) faults.push("a control without a name");
  }
  for (const image of all("img")) if (!image.hasAttribute("alt")) faults.push("an image without alt");
  for (const svg of all("main svg")) {
    for (const name of ["aria-labelledby", "aria-describedby"]) {
      const words = document.getElementById(svg.getAttribute(name));
      if (!words?.textContent) faults.push(`a plot without ${name}`);
    }
  }
  for (const head of all("th")) if (!head.scope) faults.push(`th ${head.textContent} without scope`);
  const ids = all("[id]").map((each) => each.id);
  if (new Set(ids).size !== ids.length) faults.push("an id twice");
  if (!document.documentElement.lang || !document.title) faults.push("no language or title");
  return faults;
}"""
"""What a screen reader needs."""


def test_a_person_reads_the_board(board, context: BrowserContext, tmp_path: Path) -> None:
    """Totals, a round, a coin, a mistyped id; on a desktop and on a phone, by day and by night."""
    page = context.new_page()
    faults = watch(page, board.url)
    for view, (width, height) in VIEWS.items():
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.goto(board.url)
            assert page.locator("#outstanding").inner_text() == "2,687"
            assert page.locator("#certified").inner_text() == "3,071"
            assert page.locator("#spent").inner_text() == "384"
            assert page.locator("#accounts").inner_text() == "2"
            assert page.locator("svg:visible").count() == 2
            # Nothing is wider than the screen.
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            shot = tmp_path / f"board-{view}-{scheme}.png"
            page.screenshot(path=shot, full_page=True)
            assert shot.stat().st_size > 20_000
    _search_for_a_coin(page)
    _open_a_round(page)
    assert faults == []
    _mistype_an_id(page)


def _search_for_a_coin(page: Page) -> None:
    coin = coin_id(SigningKey((8).to_bytes(32)).public).hex()
    page.get_by_label("Look up a coin").fill(coin)
    page.get_by_role("button", name="Search").click()
    assert page.get_by_role("heading", level=1).inner_text().strip() == "This coin is spent."
    assert page.get_by_text("Worth 128 units.").is_visible()
    assert page.get_by_text((b"\x08" * 32).hex()).is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


def _open_a_round(page: Page) -> None:
    page.get_by_role("heading", name="Spent in round").get_by_role("link").click()
    assert page.locator(".badge.certified").count() == 1
    assert page.locator(".badge.spent").count() == 1
    page.get_by_role("link", name="Board", exact=True).click()
    assert page.locator("#coins").inner_text() == "15"


def _mistype_an_id(page: Page) -> None:
    # Last: the browser itself logs the 400 as an error of the console.
    page.get_by_label("Look up a coin").fill("<b>hello</b>")
    page.get_by_role("button", name="Search").click()
    assert "has 64 hexadecimal digits" in page.locator("#id-error").inner_text()
    assert page.get_by_label("Look up a coin").input_value() == "<b>hello</b>"


def test_every_page_has_an_outline_and_fits_a_phone(board, context: BrowserContext) -> None:
    """Headings without gaps, names for controls and plots, scopes in tables; and it fits the screen."""
    page = context.new_page()
    faults = watch(page, board.url)
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    coin = coin_id(SigningKey((8).to_bytes(32)).public).hex()
    for path in ("/", "/rounds/1", "/coins", f"/coins?id={coin}", "/sets", "/checkpoints", "/accusations"):
        page.goto(board.url + path)
        assert page.evaluate(OUTLINE) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0], path
        # The keyboard's first stop is past the navigation.
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.getAttribute('href')") == "#main"
    assert faults == []


def test_all_but_the_feed_works_without_scripts(board, browser: Browser) -> None:
    """Where scripts are switched off, pages say so where it matters, and show no dead buttons."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(board.url)
    assert page.locator("#outstanding").inner_text() == "2,687"
    assert page.get_by_role("button", name="Pause").count() == 0
    page.get_by_label("Look up a coin").fill(coin_id(SigningKey((8).to_bytes(32)).public).hex())
    page.get_by_role("button", name="Search").click()
    assert page.get_by_role("button", name="Check now").is_disabled()
    assert page.get_by_text("This view alone needs JavaScript.").is_visible()
    context.close()


def beside(work: Coroutine[Any, Any, None]) -> None:
    """Do something while the browser is open, which has taken this thread's event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def test_new_rounds_come_live(board, context: BrowserContext) -> None:
    """A round with entries shows up by itself, above the others, and the totals follow; Pause stops it."""

    async def feed(first: int, number: int) -> None:
        async with aiohttp.ClientSession() as session:
            clients = Clients(session)
            receipt = await clients.feed(board).feed(Batch(first, [[certified(number, 10)]]))
            await clients.until_round(board, receipt.round)

    page = context.new_page()
    faults = watch(page, board.url)
    page.goto(board.url)
    rounds = page.locator(".rounds tbody tr:not(.empty)")
    page.get_by_role("status").get_by_text("Live").wait_for()
    before = rounds.first.get_by_role("link").inner_text()
    beside(feed(5, 30))
    page.locator("#outstanding").get_by_text("3,711").wait_for()
    page.wait_for_function("before => document.querySelector('.rounds a').textContent !== before", arg=before)
    assert rounds.first.locator("td").nth(1).inner_text() == "1"
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("status").inner_text() == "Paused"
    beside(feed(6, 31))
    assert page.locator("#outstanding").inner_text() == "3,711"
    page.get_by_role("button", name="Go on").click()
    page.locator("#outstanding").get_by_text("4,735").wait_for()
    # What closed during the pause is there, too: the board's own list says the same.
    missed = page.evaluate("""async () => {
      const { rounds } = await (await fetch("/api/v1/rounds?limit=1000")).json();
      const wanted = rounds.filter((each) => each.count).map((each) => `/rounds/${each.round}`).reverse();
      const shown = [...document.querySelectorAll(".rounds a")].map((each) => each.getAttribute("href"));
      return shown.filter((each, at) => each !== wanted[at]);
    }""")
    assert missed == []
    assert faults == []


def test_the_page_stays_as_high_while_rounds_come(board, context: BrowserContext) -> None:
    """What somebody reads below the rounds doesn't move, however many close."""
    page = context.new_page()
    page.goto(board.url)
    page.get_by_role("status").get_by_text("Live").wait_for()
    numbers = page.locator("#rounds")
    height = page.evaluate("document.querySelector('#words').getBoundingClientRect().top")
    number = int(numbers.inner_text().replace(",", ""))
    page.wait_for_function(
        "number => Number(document.getElementById('rounds').textContent.replace(',', '')) > number + 5",
        arg=number,
    )
    assert page.evaluate("document.querySelector('#words').getBoundingClientRect().top") == height
