"""The list of accounts: what a living bank writes, its successor reads; what is wrong with it is one line."""

import json
from pathlib import Path

import pytest

from bank.formats.account import SignedStatement
from bank.formats.fields import Reader
from bank.ledger.accounts import credit, open_account
from bank.recovery.balances import EVERY_DEPOSIT, list_balances, read_balances
from mixmint.errors import UserError
from mixmint.keys import SigningKey
from tests.unit.bank.desk import Desk

HOLDER = SigningKey(b"h" * 32)


@pytest.fixture
def listed(desk: Desk, tmp_path: Path) -> Path:
    """The list of a bank with one account of 100 units."""
    desk.run(lambda book: open_account(desk.signer.bank, HOLDER.public, book))
    desk.run(lambda book: credit(desk.signer.bank, HOLDER.public, 100, book))
    path = tmp_path / "balances.json"
    path.write_bytes(desk.run(lambda book: list_balances(book, desk.signer.bank, desk.key)))
    return path


def read(path: Path, desk: Desk):  # type: ignore[no-untyped-def]  # Balances
    return read_balances(path, desk.signer.bank, (desk.key.public,))


def test_what_a_bank_lists_is_read_again(desk: Desk, listed: Path) -> None:
    """Balance, sequence, and the newest statement, signed."""
    found = read(listed, desk)
    (account,) = found.accounts.values()
    assert (account.sequence, account.balance, found.units) == (2, 100, 100)
    assert account.statement is not None
    assert account.statement.balance == 100
    text = json.loads(listed.read_bytes())["accounts"][0]["statement"]
    assert SignedStatement.read(Reader(bytes.fromhex(text))).holds(desk.key.public)


def test_a_plain_list_will_do(desk: Desk, tmp_path: Path) -> None:
    """As `bank account list --json` prints it: no statements, and every deposit is taken to be in it."""
    path = tmp_path / "plain.json"
    account = {"account": HOLDER.public.hex(), "sequence": 7, "balance": 12}
    path.write_text(json.dumps({"accounts": [account], "total": 12}))
    found = read(path, desk)
    assert found.size == EVERY_DEPOSIT
    assert found.accounts[HOLDER.public].statement is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda it: it.pop("accounts"), "no list of accounts"),
        (lambda it: it["accounts"].append(it["accounts"][0]), "twice"),
        (lambda it: it["accounts"][0].update(balance=99), "doesn't say what the list says"),
        (lambda it: it["accounts"][0].update(balance=-1), "no list of accounts"),
        (lambda it: it["accounts"][0].update(account="00"), "no list of accounts"),
        (lambda it: it["accounts"][0].update(statement="00"), "can't be read"),
        (lambda it: it.update(bank="00" * 32), "of bank"),
        (lambda it: it.update(total=1), "come to 1"),
        (lambda it: it.update(given=["04" + "00" * 128]), "isn't signed by its coin"),
        (lambda it: it.update(more=1), "no list of accounts"),
    ],
)
def test_a_wrong_list_is_refused(desk: Desk, listed: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    """In one line, whatever is wrong with it."""
    content = json.loads(listed.read_bytes())
    change(content)
    listed.write_text(json.dumps(content))
    with pytest.raises(UserError, match=said):
        read(listed, desk)


def test_a_statement_that_a_stranger_signed_is_refused(desk: Desk, listed: Path) -> None:
    """The list is believed, but not against its own signatures."""
    with pytest.raises(UserError, match="isn't signed by the bank"):
        read_balances(listed, desk.signer.bank, (HOLDER.public,))
