"""A successor's books from a log: what counts, what doesn't, and what is refused; on both engines."""

from dataclasses import replace

import pytest

from bank.board.log.tree import EMPTY_ROOT
from bank.formats.claim import Claim, ShownCertificate
from bank.formats.coin import CoinId, CoinKey, sign_certificate
from bank.formats.entry import (
    CertifiedEntry,
    KeyChangeEntry,
    PostedEntry,
    StatementEntry,
    TermsEntry,
    make_replaced_entry,
)
from bank.formats.fields import Reader
from bank.formats.order import Order, Output, sign_order
from bank.formats.statement import Tally, sign_statement
from bank.formats.succession import Cut
from bank.formats.terms import PublishedTerms
from bank.ledger import Terms
from bank.ledger.book import Value
from bank.ledger.successor import FROM_THE_BOARD, NEITHER, UNCREDITED
from bank.recovery.balances import Balances, Listed
from bank.stores.interface import KeptClaim
from mixmint.errors import UserError
from tests.unit.bank.board.logs import BEGIN_S
from tests.unit.bank.desk import Desk
from tests.unit.bank.recovery.lost import (
    AUTHORITIES,
    BANK,
    HOLDER,
    NEW,
    OLD,
    Log,
    certified,
    coin,
    key,
    rebuilt,
    spent,
)


async def test_what_counts_is_on_the_books_and_nothing_else(log: Log, desk: Desk) -> None:
    """By the key in force at each place; spent coins wherever they stand; a false signature nowhere."""
    posted = certified(4)
    log.close([certified(1).encode(), certified(2).encode(), certified(3).encode(), spent(2).encode()])
    log.close(
        [
            PostedEntry(posted.coin, 3, 1, posted.certificate).encode(),
            make_replaced_entry(OLD, BANK, coin(3), 3, 1).encode(),
            replace(certified(5), certificate=bytes(64)).encode(),
        ]
    )
    change = log.change(log.cut())
    log.close(
        [
            certified(6).encode(),
            spent(1).encode(),
            spent(6).encode(),
            make_replaced_entry(OLD, BANK, coin(4), 3, 1).encode(),
        ]
    )
    log.close([KeyChangeEntry(change).encode()])
    log.close([certified(7, NEW).encode()])
    made = await rebuilt(log, desk, change)
    assert (made.coins, made.certified_units) == (5, 40)
    assert (made.spent, made.spent_units, made.replaced_units) == (2, 16, 8)
    assert (made.void, made.false, made.round) == (2, 1, 5)
    assert made.outstanding_units == 16
    values = desk.run(lambda book: [book.value(coin(number)) for number in range(1, 8)])
    good = Value(3, 1)
    assert values == [good, good, good, good, None, None, good]
    how = desk.run(lambda book: [book.spent(key(number).public) for number in (1, 2, 6)])
    assert [each.epoch for each in how if each] == [FROM_THE_BOARD, FROM_THE_BOARD, -3]
    account = desk.run(lambda book: book.account(HOLDER))
    assert account is not None
    assert (account.sequence, account.balance) == (5, 100)
    state = desk.run(lambda book: book.state())
    assert (state.next_group, state.confirmed, state.newest_closed) == (2, 1, log.round)
    (row,) = desk.run(lambda book: book.tallies(only_changed=True))
    assert row.tally.numbers() == (5, 0, 2, 2, 1)


async def test_which_deposits_are_in_the_balances(log: Log, desk: Desk) -> None:
    """Those below the list's size and those given; the rest may be asked for."""
    log.close([certified(number).encode() for number in (1, 2, 3)])
    log.close([spent(1).encode()])
    size = log.edge.size
    log.close([spent(2).encode(), spent(9).encode()])
    change = log.change(log.cut())
    log.close([KeyChangeEntry(change).encode()])
    listed = Balances({HOLDER: Listed(4, 100)}, size, {key(3).public: spent(3)})
    made = await rebuilt(log, desk, change, listed)
    how = desk.run(lambda book: [book.spent(key(number).public) for number in (1, 2, 3, 9)])
    assert [each.epoch for each in how if each] == [FROM_THE_BOARD, UNCREDITED, FROM_THE_BOARD, NEITHER]
    assert made.spent == 3
    assert desk.run(lambda book: book.state()).next_group == 3


@pytest.mark.parametrize("what", ["root", "inside", "not shown", "too few", "account"])
async def test_what_does_not_fit_together_is_refused(log: Log, desk: Desk, what: str) -> None:
    """In one line; the books are never finished."""
    log.close([certified(1).encode(), certified(2).encode()])
    cut = log.cut()
    bad = {"root": Cut(cut.size, bytes(32)), "inside": Cut(cut.size - 1, cut.root)}.get(what, cut)
    change = log.change(bad)
    if what != "not shown":
        shown = log.change(bad, AUTHORITIES[:1]) if what == "too few" else change
        log.close([KeyChangeEntry(shown).encode()])
    listed = Balances({bytes(32): Listed(1, 1)}) if what == "account" else None
    said = {"account": "the board doesn't show", "not shown": "put the newest", "too few": "put the newest"}
    with pytest.raises(UserError, match=said.get(what, "a root that this log")):
        await rebuilt(log, desk, change, listed)


async def test_only_what_was_over_by_then_was_replaced(log: Log, desk: Desk) -> None:
    """A thief of the key ends no living coin; the shortest terms count, since what was retired stays so."""
    young = BEGIN_S // 1000 - 3
    log.close([TermsEntry(Terms(1000, 2, 1).published(OLD, BANK, 1)).encode()])
    log.close([TermsEntry(Terms(1000, 9, 1).published(OLD, BANK, 2)).encode()])
    coins = []
    for number, epoch in enumerate((young - 1, young), start=1):
        signature = sign_certificate(OLD, BANK, 3, epoch, coin(number))
        coins.append(CertifiedEntry(coin(number), 3, epoch, signature).encode())
    log.close(coins)
    log.close(
        [make_replaced_entry(OLD, BANK, coin(at), 3, young - 2 + at).encode() for at in (1, 2)],
    )
    change = log.change(log.cut())
    log.close([KeyChangeEntry(change).encode()])
    made = await rebuilt(log, desk, change)
    assert (made.replaced_units, made.false) == (8, 1)
    assert desk.run(lambda book: [book.has_ended(coin(number)) for number in (1, 2)]) == [True, False]


async def test_a_successor_is_bound_by_terms_that_an_honest_bank_made(log: Log, desk: Desk) -> None:
    """Not by what nothing can follow: a thief who published that would keep him from ever starting."""
    good = [Terms(1000, 2, 1, claim_rounds=9), Terms(1000, 3, 1, claim_rounds=20)]
    for terms, number in (
        (good[0], 1),
        (good[0], 1),
        (Terms(7, 2, 1), 2),
        (Terms(1000, 999, 1), 2),
        (Terms(1000, 2, 1, claim_rounds=1), 2**32 - 1),
        (good[1], 2),
    ):
        log.close([TermsEntry(terms.published(OLD, BANK, number)).encode()])
    for number in (1, 2, 2**32 - 1):
        said = sign_statement(OLD, BANK, number, 0, EMPTY_ROOT, Tally(), ())
        log.close([StatementEntry(said).encode()])
    change = log.change(log.cut())
    log.close([KeyChangeEntry(change).encode()])
    made = await rebuilt(log, desk, change)
    assert made.false == 3
    published = PublishedTerms.read(Reader(desk.run(lambda book: book.terms())))
    assert (published.number, Terms.of(published)) == (2, good[1])
    assert desk.run(lambda book: (book.claim_rounds(), book.state().stated)) == (9, 2)


async def test_what_was_claimed_after_the_change_is_still_to_be_answered(log: Log, desk: Desk) -> None:
    """While nobody answered; what was claimed before it has been taken back by its wallet."""
    claims = []
    for number in (1, 2, 3):
        order = Order(BANK, bytes(16), 900, (CoinKey(key(number).public),), (Output(CoinId(bytes(32)), 3),))
        shown = ShownCertificate(3, 1, certified(number).certificate)
        claims.append(Claim(sign_order(order, [key(number)], bytes(16)), (shown,)))
    log.close([TermsEntry(Terms(claim_rounds=9).published(OLD, BANK, 1)).encode()])
    log.close([*[certified(number).encode() for number in (1, 2, 3)], claims[0].entry().encode()])
    change = log.change(log.cut())
    log.close([KeyChangeEntry(change).encode(), claims[1].entry().encode()])
    untrue = replace(claims[2], certificates=(replace(claims[2].certificates[0], epoch=2),))
    log.close([claims[2].entry().encode(), untrue.entry().encode()])
    await rebuilt(log, desk, change)
    (kept,) = desk.run(lambda book: book.open_claims(log.round, 9))
    assert kept == KeptClaim(claims[2].answer_subject, log.round, claims[2].encode(), BEGIN_S + log.round - 1)
    assert desk.run(lambda book: [book.owes_by(log.round + rounds) for rounds in (8, 9)]) == [False, True]


async def test_pages_of_any_size_make_the_same_books(log: Log, desk: Desk) -> None:
    """A round at a time, or all at once."""
    for number in range(1, 6):
        log.close([certified(number).encode(), *([spent(number - 1).encode()] if number > 1 else [])])
    change = log.change(log.cut())
    log.close([KeyChangeEntry(change).encode()])
    made = await rebuilt(log, desk, change, page=1)
    assert (made.coins, made.spent, made.round) == (5, 4, 7)
