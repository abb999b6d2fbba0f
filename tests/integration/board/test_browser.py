"""The board's pages in a real browser: Debian's Chromium, driven by playwright."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bank.board.feed import Batch
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import AccountEntry, CertifiedEntry, SpentEntry
from bank.formats.order import SPEND_LABEL
from mixmint.keys import SigningKey

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BANK = SigningKey(b"b" * 32)
VIEWS = {"desktop": (1280, 900), "phone": (390, 844)}


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
def browser(tmp_path: Path) -> Iterator[Browser]:
    if not CHROMIUM.exists():
        # Not a skip: a page that nobody looked at isn't done.
        pytest.fail(f"{CHROMIUM} is missing; run: apt-get update && apt-get install -y chromium")
    with sync_playwright() as play:
        context = play.chromium.launch_persistent_context(
            str(tmp_path / "profile"), executable_path=str(CHROMIUM), args=FLAGS, chromium_sandbox=False
        )
        yield context
        context.close()


def watch(page: Page, origin: str) -> list[str]:
    """Collects whatever must not happen: requests elsewhere, failed ones, console errors."""
    faults: list[str] = []
    page.on(
        "request",
        lambda request: None if request.url.startswith(origin + "/") else faults.append(request.url),
    )
    page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
    page.on(
        "console",
        lambda message: faults.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: faults.append(str(error)))
    return faults


def test_a_person_reads_the_board(board, browser: Browser, tmp_path: Path) -> None:
    """Totals, a round, a coin, a mistyped id; on a desktop and on a phone, by day and by night."""
    page = browser.new_page()
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
    assert page.evaluate("document.documentElement.scrollWidth") <= VIEWS["phone"][0]


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
