"""
The verify view in a real browser: a true coin is proved, and whatever a board might show instead turns red.

The board is a real one; between it and the browser stands a liar (playwright's route), who changes one file.
"""

import asyncio
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, Route

from bank.board.feed import Batch
from bank.board.log.checkpoint import Checkpoint, sign_checkpoint
from bank.board.log.tiles import pack, unpack
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.order import SPEND_LABEL
from mixmint.keys import SigningKey
from tests.integration.board.chromium import chromium
from tests.integration.board.conftest import BANK, KEY

COINS = 300
"""More than one tile of leaves."""
SPENT, UNSPENT = 7, 8
STRANGER = SigningKey(b"s" * 32)


def coin(number: int) -> str:
    return coin_id(SigningKey(number.to_bytes(32)).public).hex()


def certified(number: int) -> bytes:
    id_ = bytes.fromhex(coin(number))
    signature = sign_certificate(BANK, bank_id(BANK.public), 3, 1, id_)
    return CertifiedEntry(id_, 3, 1, signature).encode()


def spent(number: int) -> bytes:
    key = SigningKey(number.to_bytes(32))
    return SpentEntry(key.public, b"e" * 32, key.sign(SPEND_LABEL, b"e" * 32)).encode()


@pytest.fixture
async def board(make_board, clients):
    """A board with 300 coins, of which one is spent, a map of them, and some rounds after it."""
    board = make_board(round_ms=100)
    with (board.folder / "board.toml").open("a") as settings:
        settings.write("map_rounds = 1\n")
    board.start()
    feed = clients.feed(board)
    await feed.feed(Batch(1, [[certified(number)] for number in range(1, COINS + 1)]))
    await feed.feed(Batch(COINS + 1, [[spent(SPENT)]]))
    async with asyncio.timeout(90):
        while await state_by_map(clients, board) != "spent":
            head = await clients.reader(board).head()
            await clients.until_round(board, head.round + 1)
    return board


async def state_by_map(clients, board) -> str:
    """What the newest map in the log says of the coin that was spent; empty before the first."""
    async with clients.session.get(f"{board.url}/api/v1/coins/{coin(SPENT)}/proof") as response:
        return str((await response.json())["state"]) if response.status == 200 else ""


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


def verdict(page: Page, url: str, number: int) -> tuple[str, list[str]]:
    """How it ended (good, bad, open), and what each step came to."""
    page.goto(f"{url}/coins?id={coin(number)}")
    page.get_by_role("button", name="Check now").click()
    page.locator(".verdict.good, .verdict.bad, .verdict.open").wait_for()
    words = page.locator(".verdict").get_attribute("class") or ""
    return words.split()[1], page.locator(".step .said").all_inner_texts()


def test_what_is_true_is_proved(board, page: Page) -> None:
    """A spent coin, one that isn't, and one that never was: signatures, log and map."""
    for number, state in ((SPENT, "spent"), (UNSPENT, "certified"), (COINS + 1, "unknown")):
        outcome, said = verdict(page, board.url, number)
        assert outcome == "good", said
        assert said[0].startswith("Signed by the key of 127.0.0.1")
        assert said[-1] == f"The map says: {state}. The entries above say the same."
    outcome, said = verdict(page, board.url, SPENT)
    assert said[1] == "Signed by the bank, and it leads to the checkpoint's root."
    assert said[2] == "Signed by the coin's own key, and it leads to the checkpoint's root."
    assert page.get_by_role("button", name="Check again").is_enabled()
    # What is computed is shown: a line for each level of the tree.
    rungs = [page.locator(".climb tbody").nth(at).locator("tr").count() for at in range(4)]
    assert rungs[0] > 8
    assert rungs[1] > 8
    # The map always has eight levels, above its shards.
    assert rungs[3] == 9


def flip(data: bytes, at: int) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _other_root(data: bytes) -> bytes:
    """A checkpoint of another tree, which the board did sign: who compares roots notices."""
    origin, size, _ = data.decode().split("\n")[:3]
    return sign_checkpoint(KEY, Checkpoint(origin, int(size), b"r" * 32)).encode()


def _strangers(data: bytes) -> bytes:
    """The same checkpoint under the same name, signed by somebody else."""
    found = Checkpoint.parse(data.decode().partition("\n\n")[0] + "\n")
    return sign_checkpoint(STRANGER, found).encode()


def _another_log(data: bytes) -> bytes:
    found = Checkpoint.parse(data.decode().partition("\n\n")[0] + "\n")
    return sign_checkpoint(KEY, Checkpoint("elsewhere.example", found.size, found.root)).encode()


def _false_signature(data: bytes) -> bytes:
    return re.sub(rb" ([A-Za-z0-9+/=]+)\n$", _flip_line, data)


def _flip_line(found: "re.Match[bytes]") -> bytes:
    return b" " + b64encode(flip(b64decode(found[1]), 20)) + b"\n"


def _other_coin(data: bytes) -> bytes:
    """Another coin's entries in the place of each."""
    entries = unpack(data)
    return pack([*entries[1:], entries[0]])


def _cheaper(data: bytes) -> bytes:
    """Certificates with one bit of the value changed."""
    return pack([flip(entry, 33) if entry[0] == 3 else entry for entry in unpack(data)])


def _hashes(data: bytes) -> bytes:
    """One bit in each hash."""
    return b"".join(flip(data[at : at + 32], 5) for at in range(0, len(data), 32))


def _proof(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    def tamper(data: bytes) -> bytes:
        answer = json.loads(data)
        change(answer)
        return json.dumps(answer).encode()

    return tamper


def _map_bytes(at: int) -> Callable[[bytes], bytes]:
    return _proof(
        lambda answer: answer.update(proof=b64encode(flip(b64decode(answer["proof"]), at)).decode())
    )


def liar(tamper: Callable[[bytes], bytes]) -> Callable[[Route], None]:
    """Hands a file on, changed."""

    def lie(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=tamper(answer.body()))

    return lie


FROM_THE_MAP = "/api/v1/coins/*/proof"
LIES: tuple[tuple[str, Callable[[bytes], bytes], str], ...] = (
    ("/checkpoint", _other_root, "It leads to another root than the checkpoint's."),
    ("/checkpoint", _strangers, "Not signed by the key of 127.0.0.1"),
    ("/checkpoint", _another_log, "It is the checkpoint of another log"),
    ("/checkpoint", _false_signature, "Not signed by the key of 127.0.0.1"),
    ("/checkpoint", lambda data: b"hello", "the checkpoint is no signed note"),
    ("/tile/entries/**", _other_coin, "The entry is about another coin."),
    ("/tile/entries/**", _cheaper, "It leads to another root than the checkpoint's."),
    ("/tile/entries/**", lambda data: data[:40], "This can't be right"),
    ("/tile/0/**", _hashes, "It leads to another root than the checkpoint's."),
    ("/tile/0/**", lambda data: b"", "is too short"),
    (FROM_THE_MAP, _map_bytes(40), "It leads to another root than the map's."),
    (FROM_THE_MAP, _map_bytes(-1), "out of order"),
    (FROM_THE_MAP, _map_bytes(0), "This can't be right"),
    (FROM_THE_MAP, _proof(lambda answer: answer["map"].update(index=0)), "that entry isn't a map's root"),
)
"""Which file is changed, how, and what the view must say then."""


def test_whatever_is_tampered_with_turns_red(board, page: Page) -> None:
    """No single file that the board changes still leads to the signed root."""
    for path, tamper, words in LIES:
        page.route(board.url + path, liar(tamper))
        outcome, said = verdict(page, board.url, SPENT)
        assert outcome == "bad", words
        assert any(words in each for each in said), (words, said)
        assert page.get_by_text("This doesn't hold.").is_visible()
        page.unroute_all()


def test_an_entry_that_the_page_hides_is_missed_by_the_map(board, page: Page) -> None:
    """A page that leaves the spending out says "certified"; the map knows better."""
    hide = liar(lambda data: re.sub(rb'data-entries="(\d+) \d+"', rb'data-entries="\1"', data))
    page.route(f"{board.url}/coins?id=*", hide)
    outcome, said = verdict(page, board.url, SPENT)
    assert outcome == "bad"
    assert said[-1] == "The map says spent; by the entries above it would be certified."


def test_a_browser_that_can_t_check_signatures_says_so(board, page: Page) -> None:
    """Hashes alone are no proof, and aren't shown as one."""
    page.add_init_script(
        "SubtleCrypto.prototype.importKey = async () => { throw new DOMException('', 'NotSupportedError'); }"
    )
    outcome, said = verdict(page, board.url, SPENT)
    assert outcome == "open"
    assert "Your browser can't check Ed25519 signatures" in said[0]
    assert "All of it holds" not in page.content()


def test_a_board_that_doesn_t_answer_proves_nothing(board, page: Page) -> None:
    """Neither way: it isn't shown as proved, nor as a lie."""
    page.route(f"{board.url}/checkpoint", lambda route: route.abort())
    assert verdict(page, board.url, SPENT) == ("open", ["The board didn't answer. Try again."])
