"""The audit finds what is wrong about coins: ended or certified twice, never certified, falsely signed."""

import dataclasses
import os
from concurrent.futures import Executor

import pytest

from bank.board.audit.finding import Fault
from bank.formats.coin import coin_id
from bank.formats.entry import PostedEntry, make_replaced_entry
from mixmint.keys import SigningKey
from tests.unit.bank.board.accusation.cheats import BANK, BANK_ID, certified, fresh_id, spent
from tests.unit.bank.board.audit.books import VALUE, Books
from tests.unit.bank.board.audit.reports import audited, is_bank, only


@pytest.mark.parametrize("confirmed", [False, True])
async def test_a_coin_spent_twice_is_found(books: Books, pool: Executor, *, confirmed: bool) -> None:
    """Far apart in the log; with the bank's word for it, it is the bank's doing."""
    books.fill(1)
    coin = books.live[0]
    books.close([books.deposit()])
    books.fill(1)
    books.close([spent(coin, os.urandom(32)).encode()])
    if confirmed:
        books.close([books.state(tally=books.tally)])
    whom, holds = only(await audited(books, pool), Fault.ENDED_TWICE)
    assert holds
    assert is_bank(whom) == confirmed


async def test_a_spent_entry_repeated_is_noted_only(books: Books, pool: Executor) -> None:
    """The same order's entry gives nothing out a second time."""
    books.fill(1)
    entry = books.deposit()
    books.close([entry])
    books.close([entry])
    report = await audited(books, pool)
    assert report.passed
    assert [finding.fault for finding in report.findings] == [Fault.REPEATED]


async def test_a_coin_spent_and_replaced_is_found(books: Books, pool: Executor) -> None:
    """In the bank's own confirmed words."""
    books.fill(1)
    coin = coin_id(books.live[0].public)
    books.close([books.deposit()])
    books.close([make_replaced_entry(BANK, BANK_ID, coin, *VALUE).encode()])
    books.close([books.state()])
    whom, holds = only(await audited(books, pool), Fault.ENDED_TWICE)
    assert holds
    assert is_bank(whom)


async def test_an_id_certified_twice_is_found(books: Books, pool: Executor) -> None:
    """Whoever posted the second certificate, the bank signed both."""
    books.fill(1)
    other = certified(coin_id(books.live[0].public), VALUE[0], VALUE[1] + 1)
    books.close([PostedEntry(other.coin, other.exponent, other.epoch, other.certificate).encode()])
    whom, holds = only(await audited(books, pool), Fault.CERTIFIED_TWICE)
    assert holds
    assert is_bank(whom)


async def test_a_coin_spent_without_certificate_is_found(books: Books, pool: Executor) -> None:
    """Only the whole log shows that there is none."""
    books.fill(1)
    books.close([spent(SigningKey.generate(), bytes(32)).encode()])
    _, holds = only(await audited(books, pool), Fault.NEVER_CERTIFIED)
    assert not holds


@pytest.mark.parametrize("confirmed", [False, True])
async def test_a_false_signature_is_found(books: Books, pool: Executor, *, confirmed: bool) -> None:
    """A spent entry that the coin didn't sign: taken for its own by the bank, or not."""
    books.fill(1)
    false = dataclasses.replace(spent(books.live[0], bytes(32)), signature=bytes(64)).encode()
    books.close([false])
    if confirmed:
        books.close([books.state()])
    whom, holds = only(await audited(books, pool), Fault.FALSE)
    assert holds
    assert is_bank(whom) == confirmed


async def test_a_false_posted_certificate_needs_the_log(books: Books, pool: Executor) -> None:
    """It isn't the bank's doing, and whose key it should bear only the log says."""
    books.fill(1)
    books.close([PostedEntry(fresh_id(), *VALUE, bytes(64)).encode()])
    whom, holds = only(await audited(books, pool), Fault.FALSE)
    assert not holds
    assert not is_bank(whom)


async def test_a_hundred_false_entries_are_a_few_files_and_a_number(books: Books, pool: Executor) -> None:
    """A flood of lies hides nothing and fills no disk."""
    books.fill(1)
    coin = SigningKey.generate()
    for _ in range(100):
        books.close([dataclasses.replace(spent(coin, os.urandom(32)), signature=bytes(64)).encode()])
    books.close([spent(books.live[0], bytes(32)).encode(), spent(books.live[0], bytes([1]) * 32).encode()])
    report = await audited(books, pool)
    assert {finding.fault for finding in report.findings} == {Fault.FALSE, Fault.ENDED_TWICE}
    assert sum(finding.accusation is not None for finding in report.findings) == 9
    assert any("92 more" in finding.sentence for finding in report.findings)
