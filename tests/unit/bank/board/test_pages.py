"""The pages for people: what they say, that they escape, and what they forbid the browser."""

import pytest

from bank.board.feed import Batch
from bank.board.journal import ClosedRound
from bank.board.pages import Row, rows_of
from bank.board.rounds import Round
from bank.board.totals import Totals


async def get(board, path: str) -> tuple[int, dict[str, str], str]:
    async with board.session.get(board.url + path) as response:
        return response.status, dict(response.headers), await response.text()


async def test_the_front_page_shows_totals_and_rounds(start_board, mint) -> None:
    """What is in circulation first; rounds link to their pages."""
    board = await start_board(name="the board of the village")
    await board.feed.feed(Batch(1, [[mint.certified(1, 11), mint.certified(2, 2), mint.spent(2)]]))
    await board.close_round()
    _, _, page = await get(board, "/")
    assert '<dd id="outstanding">2,048</dd>' in page
    assert '<dd id="spent">4</dd>' in page
    assert '<a href="/rounds/1">1</a>' in page
    assert "the board of the village" in page
    assert "Evidence" not in page


async def test_an_empty_board_says_so(start_board) -> None:
    """Before the first round there is nothing to count."""
    board = await start_board()
    status, _, page = await get(board, "/")
    assert status == 200
    assert "No round has closed yet" in page


async def test_a_cheating_bank_is_named_on_the_front_page_and_on_the_coins(start_board, mint) -> None:
    """Evidence is shown, not hidden."""
    board = await start_board()
    await board.feed.feed(
        Batch(1, [[mint.certified(1)], [mint.spent(1)], [mint.spent(1, b"f" * 32)], [mint.spent(5)]])
    )
    await board.close_round()
    assert "Evidence against the bank" in (await get(board, "/"))[2]
    assert "spent more than once" in (await get(board, f"/coins?id={mint.coin(1).hex()}"))[2]
    assert "never certified it" in (await get(board, f"/coins?id={mint.coin(5).hex()}"))[2]


async def test_a_coin_is_found_with_its_proof(start_board, mint) -> None:
    """State, round, certificate, seal and signature."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[mint.certified(1, 3)]]))
    await board.close_round()
    coin = mint.coin(1).hex()
    _, _, page = await get(board, f"/coins?id={coin.upper()}")
    assert "This coin is certified." in page
    assert "Worth 8 units." in page
    assert mint.certified(1, 3)[38:].hex() in page
    await board.feed.feed(Batch(2, [[mint.spent(1)]]))
    await board.close_round()
    _, _, page = await get(board, f"/coins?id=%20{coin}%20")
    assert "This coin is spent." in page
    assert (b"e" * 32).hex() in page
    _, _, page = await get(board, "/coins?id=" + "0" * 64)
    assert "This coin is unknown." in page


@pytest.mark.parametrize(
    "typed", ["xyz", "0" * 63, "0" * 63 + "g", "%3Cscript%3Ealert(1)%3C/script%3E", "%00", "a" * 5000]
)
async def test_a_malformed_id_gets_a_friendly_error_with_everything_escaped(start_board, typed: str) -> None:
    """What was typed stays in the field, as text."""
    board = await start_board()
    status, _, page = await get(board, f"/coins?id={typed}")
    assert status == 400
    assert "64 hexadecimal digits, this has" in page
    assert "<script" not in page
    assert board.refused("query") == 1


async def test_a_round_page_lists_its_entries_in_pieces(start_board, mint) -> None:
    """A large round doesn't make a large page."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[mint.certified(n)] for n in range(1, 252)]))
    await board.close_round()
    _, _, page = await get(board, "/rounds/1")
    assert page.count('class="badge certified"') == 200
    assert '<a rel="next" href="?from=200">' in page
    _, _, page = await get(board, "/rounds/1?from=200")
    assert page.count('class="badge certified"') == 51
    await board.close_round()
    assert "Nothing happened in this round" in (await get(board, "/rounds/2"))[2]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/rounds/7", 404), ("/rounds/0", 400), ("/rounds/x", 400), ("/nothing", 404), ("/?a=1", 400)],
)
async def test_errors_are_pages_too(start_board, path: str, status: int) -> None:
    """People get a page, programs get JSON."""
    board = await start_board()
    got, headers, page = await get(board, path)
    assert got == status
    assert headers["Content-Type"].startswith("text/html")
    assert "<h1>" in page


async def test_nothing_from_elsewhere_and_no_script(start_board, mint) -> None:
    """The policy forbids what the templates don't contain anyway."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[mint.certified(1)]]))
    await board.close_round()
    for path in ("/", "/rounds/1", "/coins", f"/coins?id={mint.coin(1).hex()}", "/nothing"):
        _, headers, page = await get(board, path)
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        for word in ("<script", "http://", "https://", "style=", "onclick", "javascript:"):
            assert word not in page
    assert (await get(board, "/style.css"))[1]["Content-Type"].startswith("text/css")
    assert (await get(board, "/icon.svg"))[1]["Content-Type"] == "image/svg+xml"


def _closed(number: int) -> ClosedRound:
    return ClosedRound(Round(number, 0, 1, b"", b"", b""), 0, Totals())


@pytest.mark.parametrize(
    ("newest", "shown", "complete", "wanted"),
    [
        (9, [8, 7, 3], False, [1, "8", "7", 3, "3"]),
        (9, [9, 7, 3], True, ["9", 1, "7", 3, "3", 2]),
        (2, [2, 1], True, ["2", "1"]),
        (4, [], True, [4]),
        (0, [], True, []),
    ],
)
def test_empty_rounds_are_counted_between_the_others(
    newest: int, shown: list[int], complete: bool, wanted: list[int | str]
) -> None:
    """Most rounds of a quiet night are empty; they take one line together."""
    rows = rows_of(newest, [_closed(number) for number in shown], complete=complete)
    assert rows == [Row(empty=w) if isinstance(w, int) else Row(_closed(int(w))) for w in wanted]
