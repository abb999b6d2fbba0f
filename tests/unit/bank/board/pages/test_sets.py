"""How many coins look alike: the page and its JSON, by the bank's statements."""

from bank.board.feed import Batch
from bank.board.pages.sets import TINY, epochs_of
from bank.board.web.sets import NO_SETS, SetView, sets_page
from bank.formats.coin import bank_id
from bank.formats.entry import StatementEntry
from bank.formats.statement import Row, Tally, sign_statement
from mixmint.keys import SigningKey

BANK = SigningKey(b"b" * 32)
ROWS = [
    Row(0, 6, Tally(withdrawn=9, spent=9)),
    Row(0, 7, Tally(withdrawn=30, exchanged=25, spent=14)),
    Row(3, 7, Tally(withdrawn=4, exchanged=2, spent=2, replaced=1)),
]


def stated(sequence: int, rows: list[Row], key: SigningKey = BANK) -> bytes:
    """A statement with these rows, as an entry."""
    bank = bank_id(BANK.public)
    return StatementEntry(sign_statement(key, bank, sequence, 0, b"r" * 32, Tally(), rows)).encode()


def test_sets_are_counted_by_value_and_epoch() -> None:
    """Certified less spent less replaced; the newest epoch first, and never below nothing."""
    statement = sign_statement(BANK, bank_id(BANK.public), 3, 90, b"r" * 32, Tally(), ROWS)
    page = sets_page(statement, 12, [*ROWS, Row(4, 5, Tally(spent=2))], signed=True)
    assert page.sets == [
        SetView(1, 7, 55, 14, 0, 41),
        SetView(8, 7, 6, 2, 1, 3),
        SetView(1, 6, 9, 9, 0, 0),
        SetView(16, 5, 0, 2, 0, 0),
    ]
    newest, *older = epochs_of(page)
    assert (newest.epoch, newest.unspent, newest.replaced) == (7, 44, True)
    assert [each.epoch for each in older] == [6, 5]
    assert not older[0].replaced


async def test_the_page_names_small_sets(start_board) -> None:
    """For people: the numbers, and which of them are few; the older epochs folded away."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[stated(1, ROWS)]]))
    await board.close_round()
    async with board.session.get(board.url + "/sets") as response:
        page = await response.text()
        assert response.status == 200
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
    assert "Epoch 7, the newest" in page
    assert "<summary>0 unspent coins</summary>" in page
    assert page.count("small set") == page.count('class="small-set"') == 1
    assert "signature is false" not in page
    assert f"Fewer than {TINY}" in page
    assert "<script" not in page


async def test_programs_get_the_same(start_board) -> None:
    """And rows that a later statement doesn't repeat still stand."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[stated(1, ROWS)], [stated(2, [Row(0, 7, Tally(withdrawn=99))])]]))
    await board.close_round()
    async with board.session.get(board.url + "/api/v1/sets") as response:
        answer = await response.json()
    assert (answer["statement"], answer["round"], answer["signed"]) == (2, 1, True)
    unspent = {(one["units"], one["epoch"]): one["unspent"] for one in answer["sets"]}
    assert unspent == {(1, 7): 99, (8, 7): 3, (1, 6): 0}


async def test_a_statement_that_is_not_the_banks_is_said_to_be_none(start_board) -> None:
    """The bank's feed carried it; its signature is false all the same."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[stated(1, ROWS, SigningKey(b"x" * 32))]]))
    await board.close_round()
    async with board.session.get(board.url + "/sets") as response:
        assert "Its signature is false" in await response.text()


async def test_before_the_first_statement_there_is_nothing(start_board) -> None:
    """Both say so."""
    board = await start_board()
    async with board.session.get(board.url + "/sets") as response:
        assert "hasn't stated anything yet" in await response.text()
    async with board.session.get(board.url + "/api/v1/sets") as response:
        assert (await response.json())["sets"] == NO_SETS.sets == []
