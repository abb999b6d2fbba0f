"""The pages for people: what they say, that they escape, and what they forbid the browser."""

from collections.abc import Mapping

import pytest

from bank.board.accusation.books import CertifiedTwice
from bank.board.accusation.file import encode_accusation
from bank.board.feed import Batch
from bank.board.log.note import KeyKind, VerifierKey
from bank.board.log.policy import Policy, Witness
from bank.formats.answer import CertifiedBefore
from bank.formats.coin import bank_id
from bank.formats.entry import (
    AccountEntry,
    AccusationEntry,
    ClaimEntry,
    MapEntry,
    PostedEntry,
    StatementEntry,
    TermsEntry,
    make_replaced_entry,
)
from bank.formats.statement import Row, Tally, sign_statement
from bank.ledger import Terms
from mixmint.keys import SigningKey

WITNESS = VerifierKey("witness.example", SigningKey(b"w" * 32).public, KeyKind.WITNESS)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


async def get(board, path: str, **headers: str) -> tuple[int, Mapping[str, str], str]:
    async with board.session.get(board.url + path, headers=headers) as response:
        return response.status, response.headers, await response.text()


async def test_the_front_page_shows_totals_and_rounds(start_board, mint) -> None:
    """What is in circulation first; rounds link to their pages."""
    board = await start_board(name="the board of the village")
    await board.feed.feed(Batch(1, [[mint.certified(1, 11), mint.certified(2, 2), mint.spent(2)]]))
    await board.close_round()
    _, _, page = await get(board, "/")
    assert '<dd id="outstanding">2,048</dd>' in page
    assert '<dd id="spent">4</dd>' in page
    assert '<a href="/rounds/1">1</a>' in page
    assert '<span id="leaves">4</span>' in page
    assert "the board of the village" in page
    assert "Evidence" not in page


async def test_an_empty_board_says_so(start_board) -> None:
    """Before the first round there is nothing to count, to plot or to check."""
    board = await start_board()
    for path, words in (
        ("/", "No round has closed yet"),
        ("/checkpoints", "No checkpoint has been published"),
    ):
        status, _, page = await get(board, path)
        assert status == 200
        assert words in page
        assert "<svg" not in page


async def test_the_front_page_plots_the_supply(start_board, mint) -> None:
    """Once rounds have closed at two moments; each plot for a desk and for a phone, with its words."""
    board = await start_board()
    for number in range(1, 4):
        await board.feed.feed(Batch(number, [[mint.certified(number, 3)]]))
        await board.board.publish_round(1_790_000_000 + 60 * number)
    _, _, page = await get(board, "/")
    assert page.count("<svg") == 4
    assert "8 at first, 24 at last" in page
    assert "The same as a table" in page
    await board.board.publish_round(1_790_000_240)
    # Drawn again for the next round.
    assert "(UTC), in units: 8 at first, 24 at last" in (await get(board, "/"))[2]
    assert "00:04:00" not in page


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


async def test_a_coin_that_is_repeated_for_ever_has_a_short_page(start_board, mint) -> None:
    """A bank that spends one coin for ever can't make its board read it all for each visitor."""
    board = await start_board()
    spent = [[mint.spent(1, bytes([number, 1]) * 16)] for number in range(100)]
    await board.feed.feed(Batch(1, [[mint.certified(1)], *spent]))
    await board.close_round()
    _, _, page = await get(board, f"/coins?id={mint.coin(1).hex()}")
    assert page.count("<h2>Spent in round") == 33
    assert "no more than 32 repeats are shown here" in page


async def test_the_front_page_shows_the_bank_s_statement(start_board, mint) -> None:
    """By value, with rows that an earlier statement said and none has changed since."""
    board = await start_board()
    for number, rows in enumerate(
        ([Row(0, 1, Tally(9)), Row(4, 1, Tally(3))], [Row(4, 1, Tally(5, 1, 1))]), 1
    ):
        totals = Tally(89, 16, 16) if number == 2 else Tally(57)
        made = sign_statement(mint.bank, bank_id(mint.bank.public), number, 0, b"r" * 32, totals, rows)
        await board.feed.feed(Batch(number, [[StatementEntry(made).encode()]]))
        await board.close_round()
    _, _, page = await get(board, "/")
    assert 'Statement 2, in round <a href="/rounds/2">2</a>' in page
    assert page.index("1 unit<") < page.index("16 units<")
    cells = page[page.index("Units in all") : page.index("</tfoot>")].split('<td class="num">')
    assert [cell.partition("<")[0] for cell in cells[1:]] == ["89", "89", "16", "16", "0"]
    assert "doesn't balance" not in page


async def test_the_front_page_shows_the_bank_s_newest_terms(start_board, mint) -> None:
    """With the round from which they hold; terms that somebody else signed are an alarm."""
    board = await start_board()
    for number, terms in enumerate((Terms(), Terms(claim_rounds=700)), 1):
        made = terms.published(mint.bank, bank_id(mint.bank.public), number)
        await board.feed.feed(Batch(number, [[TermsEntry(made).encode()]]))
        await board.close_round()
    _, _, page = await get(board, "/")
    assert 'Terms 2, in round <a href="/rounds/2">2</a>' in page
    assert "12 epochs of 30 days" in page
    assert "700 rounds" in page
    assert "Their signature is false" not in page
    made = Terms().published(mint.key(1), bank_id(mint.bank.public), 3)
    await board.feed.feed(Batch(3, [[TermsEntry(made).encode()]]))
    await board.close_round()
    assert "Their signature is false" in (await get(board, "/"))[2]


async def test_a_statement_that_doesn_t_hold_is_an_alarm(start_board, mint) -> None:
    """Value out that never came in; and one that the bank never signed."""
    board = await start_board()
    made = sign_statement(mint.bank, bank_id(mint.bank.public), 1, 0, b"r" * 32, Tally(5, 4, 1), [])
    await board.feed.feed(Batch(1, [[StatementEntry(made).encode()]]))
    await board.close_round()
    assert "It doesn't balance" in (await get(board, "/"))[2]
    made = sign_statement(mint.key(1), bank_id(mint.bank.public), 2, 0, b"r" * 32, Tally(), [])
    await board.feed.feed(Batch(2, [[StatementEntry(made).encode()]]))
    await board.close_round()
    assert "Its signature is false" in (await get(board, "/"))[2]


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
    assert 'data-entries="0 2"' in page
    _, _, page = await get(board, "/coins?id=" + "0" * 64)
    assert "This coin is unknown." in page


async def test_a_coin_s_page_says_what_it_can_t_do(start_board) -> None:
    """Who asks shows interest; a page can't prove itself; a command can."""
    board = await start_board(policy=Policy(witnesses=(Witness("w1", WITNESS),)))
    _, _, page = await get(board, "/coins?id=" + "0" * 64)
    assert "Whoever asks about a coin shows interest in it" in page
    assert "a page can't prove itself" in page
    assert "mixmint board check-proof" in page
    assert WITNESS.text() in page
    assert board.board.publisher.log.text() in page


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
    assert "Entries before" not in page
    assert '<a href="/tile/entries/000.p/252">' in page
    _, _, page = await get(board, "/rounds/1?from=200")
    assert page.count('class="badge certified"') == 51
    assert '<a rel="prev" href="?from=0">' in page
    assert "More entries" not in page
    # Beyond the last entry there is the mark only.
    assert 'class="badge' not in (await get(board, "/rounds/1?from=900"))[2]
    await board.close_round()
    assert "Nothing happened in this round" in (await get(board, "/rounds/2"))[2]


async def test_a_round_page_shows_entries_of_all_kinds(start_board, mint) -> None:
    """Also those that nobody's feed brings."""
    board = await start_board()
    rare = ClaimEntry(b"<i>claim</i>"), MapEntry(1, 1, 12, b"r" * 32), PostedEntry(b"c" * 32, 2, 1, b"s" * 64)
    await board.board.submit([entry.encode() for entry in rare])
    replaced = make_replaced_entry(mint.bank, b"i" * 32, mint.coin(9), 2, 1)
    await board.feed.feed(Batch(1, [[AccountEntry(b"a" * 32).encode(), replaced.encode()]]))
    await board.close_round()
    _, _, page = await get(board, "/rounds/1")
    for kind in ("account", "replaced", "claim", "map", "posted"):
        assert f'class="badge {kind}"' in page
    assert "a claim against the bank, 12 bytes" in page
    assert "the map of 12 coins, as of round 1" in page
    assert "<i>claim" not in page


async def test_checkpoints_are_shown_with_the_key_and_the_note(start_board, mint) -> None:
    """What a tool needs: the verifier key, the note; and who was asked to witness it."""
    board = await start_board(policy=Policy(witnesses=(Witness("w1", WITNESS),)))
    for _ in range(10):
        await board.close_round()
    _, _, page = await get(board, "/checkpoints")
    async with board.session.get(board.url + "/checkpoint") as response:
        note = await response.text()
    assert note in page
    assert page.count("<article") == 8
    assert "<strong>w1</strong>" in page
    assert "hasn't signed it" in page
    assert "10 leaves" in page


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


async def test_nothing_from_elsewhere_and_no_script_in_a_page(start_board, mint) -> None:
    """The policy forbids what the templates don't contain anyway: scripts are files of the board, or none."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[mint.certified(1)]]))
    await board.close_round()
    coin = f"/coins?id={mint.coin(1).hex()}"
    for path in ("/", "/rounds/1", "/coins", coin, "/checkpoints", "/accusations", "/nothing"):
        _, headers, page = await get(board, path)
        assert headers["Content-Security-Policy"] == POLICY
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        for word in ("http://", "style=", "<style", "onclick", "javascript:"):
            assert word not in page
        assert page.count("<script") == page.count('<script type="module" src="/static/')
    for path, media_type in (
        ("/static/style.css", "text/css"),
        ("/static/verify.js", "text/javascript"),
        ("/icon.svg", "image/svg+xml"),
        ("/robots.txt", "text/plain"),
    ):
        status, headers, body = await get(board, path)
        assert status == 200
        assert headers["Content-Type"].startswith(media_type)
        assert headers["Cache-Control"] == "no-cache"
        assert "https://" not in body
    assert "Disallow: /coins" in body


async def test_a_page_that_hasn_t_changed_isn_t_sent_again(start_board) -> None:
    """Who has it already gets a confirmation, not its bytes."""
    board = await start_board()
    for path in ("/", "/static/live.js", "/checkpoints"):
        _, headers, body = await get(board, path)
        assert body
        assert (await get(board, path, **{"If-None-Match": headers["ETag"]}))[::2] == (304, "")


def accusation(mint, *exponents: int) -> bytes:
    """The file that accuses the bank of certifying coin 1 with these two values."""
    one, other = (
        CertifiedBefore(mint.coin(1), exponent, 1, mint.certified(1, exponent)[38:]) for exponent in exponents
    )
    return encode_accusation(CertifiedTwice(mint.bank.public, one, other))


async def test_accusations_are_listed_checked_and_handed_out(start_board, mint) -> None:
    """Kind, accused, sentence, and what a check comes to; the file as it is."""
    board = await start_board()
    file, false = accusation(mint, 2, 3), accusation(mint, 3, 3)
    for each in (file, false, b"<i>nonsense"):
        await board.board.submit([AccusationEntry(each).encode()])
        await board.close_round()
    _, _, page = await get(board, "/accusations")
    assert page.index('"/accusations/4"') < page.index('"/accusations/2"') < page.index('"/accusations/0"')
    assert f"the bank {bank_id(mint.bank.public).hex()[:16]}…" in page
    _, _, page = await get(board, "/accusations/0")
    assert "<h1>Certified twice</h1>" in page
    assert "with 4 units in epoch 1, and with 8 units in epoch 1." in page
    assert "It holds:" in page
    assert mint.bank.public.hex() in page
    assert "mixmint board check-accusation certified-twice-0.accusation" in page
    _, headers, body = await get(board, "/accusations/0/file")
    assert body.encode() == file
    assert headers["Content-Type"].startswith("text/plain")
    assert "immutable" in headers["Cache-Control"]
    assert "It doesn't hold" in (await get(board, "/accusations/2"))[2]
    _, _, page = await get(board, "/accusations/4")
    assert "be read</h1>" in page
    assert "<i>" not in page


async def test_accusations_are_listed_in_pieces(start_board) -> None:
    """However many there are; and a board without any says so."""
    board = await start_board()
    assert "Nobody has put one here" in (await get(board, "/accusations"))[2]
    await board.board.submit([AccusationEntry(bytes([65 + at])).encode() for at in range(25)])
    await board.close_round()
    _, _, page = await get(board, "/accusations")
    assert page.count("<td>An accusation that") == 20
    assert 'href="?before=5"' in page
    _, _, page = await get(board, "/accusations?before=5")
    assert '"/accusations/0"' in page
    assert "?before=" not in page


@pytest.mark.parametrize("path", [f"/accusations/{path}" for path in ("0", "1", "9", "9/file")])
async def test_what_is_no_accusation_isn_t_shown_as_one(start_board, mint, path: str) -> None:
    """Other entries, marks, and what isn't there."""
    board = await start_board()
    await board.feed.feed(Batch(1, [[mint.certified(1)]]))
    await board.close_round()
    assert (await get(board, path))[0] == 404
