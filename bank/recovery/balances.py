"""
The list of accounts: a JSON document that a living bank writes and its successor reads.

    {"bank": hex, "key": hex, "size": n, "given": [hex, ...], "withdrawn": [hex, ...],
     "totals": {"withdrawn": n, "exchanged": n, "spent": n, "deposited": n, "replaced": n}, "accounts": [
        {"account": hex, "sequence": n, "balance": n, "statement": hex}, ...]}

``statement``: the account's newest, as the bank signs it (222 bytes), so that the chain goes on; without it
the holder sees his chain begin anew. ``size`` and ``given`` say which deposits are in the balances: those
whose coins the board shows as spent below ``size``, and those whose *spent* entries (129 bytes) are in
``given``, since they were still on their way to the board. Without ``size`` every deposit is taken to be in.
``withdrawn``: *certified* entries (102 bytes) of withdrawals that were on their way likewise; the successor
certifies them if the board doesn't show them, since the balances lack them already. ``totals``: what the
books counted, in units, and ``key`` whose books they were (32 bytes): by these it is told how much was
withdrawn after the list.
What ``mixmint bank account list --json`` prints is such a list, too.

The list is believed: the board doesn't show balances. Members' own statements are what it is checked by.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from bank.formats.account import SignedStatement, Statement, sign_statement
from bank.formats.entry import CertifiedEntry, Kind, SpentEntry, decode_entry
from bank.formats.fields import Reader
from bank.formats.statement import Tally, units_of
from bank.ledger.terms import MOST_BALANCE
from bank.outbox import cursor_of, groups_from
from bank.stores.interface import View
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import SigningKey

_Hex32 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Number = Annotated[int, Meta(ge=0, le=2**63 - 2)]
MOST_LIST_BYTES = 1 << 30
EVERY_DEPOSIT = 2**63 - 1
"""As the size: the board shows nothing that isn't in the balances."""


class _Account(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    account: _Hex32
    sequence: Annotated[int, Meta(ge=1, le=2**63 - 2)]
    balance: Annotated[int, Meta(ge=0, le=MOST_BALANCE)]
    statement: str = ""


class _Totals(msgspec.Struct, forbid_unknown_fields=True):
    withdrawn: _Number
    exchanged: _Number
    spent: _Number
    deposited: _Number
    replaced: _Number


class _List(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    accounts: list[_Account]
    bank: _Hex32 | None = None
    key: _Hex32 | None = None
    size: _Number | None = None
    given: list[Annotated[str, Meta(pattern=r"^04[0-9a-f]{256}\Z")]] = []
    withdrawn: list[Annotated[str, Meta(pattern=r"^03[0-9a-f]{202}\Z")]] = []
    totals: _Totals | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """An account as listed: its newest statement's sequence, its balance in units, that statement."""

    sequence: int
    balance: int
    statement: Statement | None = None


@dataclass(frozen=True, slots=True)
class Balances:
    """Accounts by key (32 bytes); and which deposits are in them, as the module's head says."""

    accounts: Mapping[bytes, Listed]
    size: int = EVERY_DEPOSIT
    given: Mapping[bytes, SpentEntry] = field(default_factory=dict)
    """By coin key."""
    withdrawn: Mapping[bytes, CertifiedEntry] = field(default_factory=dict)
    """By coin id."""
    totals: Tally | None = None
    """Of the books that were listed, in units; None: the list doesn't say."""
    key: bytes | None = None
    """Whose books they were: the key that their bank signed with."""

    @property
    def units(self) -> int:
        """What the bank owes on all accounts."""
        return sum(each.balance for each in self.accounts.values())


def list_balances(view: View, bank: bytes, key: SigningKey) -> bytes:
    """The list of a bank's books as they are at one moment; ``bank``: its id."""
    state = view.state()
    given: list[str] = []
    withdrawn: list[str] = []
    with closing(groups_from(view, state.confirmed)) as groups:
        for group in groups:
            if _is_of(group, Kind.SPENT):
                given += [entry.hex() for entry in group]
            elif _is_of(group, Kind.CERTIFIED):
                withdrawn += [entry.hex() for entry in group]
    totals = _Totals(*units_of(view.tallies()).numbers())
    accounts = []
    for account, sequence, balance in view.accounts():
        newest = view.statements(account, sequence, 1)
        signed = sign_statement(key, newest[0]).encode().hex() if newest else ""
        accounts.append(_Account(account.hex(), sequence, balance, signed))
    total = sum(each.balance for each in accounts)
    size = cursor_of(state).index
    made = _List(accounts, bank.hex(), key.public.hex(), size, given, withdrawn, totals, total)
    return msgspec.json.format(msgspec.json.encode(made)) + b"\n"


def read_balances(path: Path, bank: bytes, keys: tuple[bytes, ...]) -> Balances:
    """
    Read a list for the bank with this id; ``keys``: all of its keys so far, any of which may have signed a
    statement in it.

    Raises UserError, one line, for whatever is wrong: not a list, another bank's, an account that is listed
    twice, a statement that isn't the bank's or says something else.
    """
    try:
        if path.stat().st_size > MOST_LIST_BYTES:
            raise UserError(f"{path} is too long for a list of accounts")
        found = msgspec.json.decode(path.read_bytes(), type=_List)
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise UserError(f"{path} is no list of accounts ({error})") from None
    if found.bank not in (None, bank.hex()):
        raise UserError(f"{path} is a list of bank {found.bank[:16]}, not of {bank.hex()[:16]}")
    accounts: dict[bytes, Listed] = {}
    for each in found.accounts:
        key = bytes.fromhex(each.account)
        if key in accounts:
            raise UserError(f"{path} lists account {each.account} twice")
        accounts[key] = Listed(each.sequence, each.balance, _statement(path, each, bank, keys))
    total = sum(each.balance for each in accounts.values())
    if found.total not in (None, total):
        raise UserError(f"{path} says that all balances come to {found.total} units, and they are {total}")
    size = EVERY_DEPOSIT if found.size is None else found.size
    given = [decode_entry(bytes.fromhex(each)) for each in found.given]
    spent = {entry.coin_key: entry for entry in given if isinstance(entry, SpentEntry) and entry.holds()}
    if len(spent) < len(given):
        raise UserError(f"{path}: an entry in `given` isn't signed by its coin, or stands there twice")
    withdrawn = _withdrawn(path, found.withdrawn, bank, keys)
    totals = None if found.totals is None else Tally(*msgspec.structs.astuple(found.totals))
    maker = None if found.key is None else bytes.fromhex(found.key)
    return Balances(accounts, size, spent, withdrawn, totals, maker)


def _is_of(group: Sequence[bytes], kind: Kind) -> bool:
    """A deposit's group spends, a withdrawal's certifies; an exchange's does both."""
    return bool(group) and all(entry[:1] == kind.to_bytes(1) for entry in group)


def _withdrawn(
    path: Path, entries: Sequence[str], bank: bytes, keys: tuple[bytes, ...]
) -> dict[bytes, CertifiedEntry]:
    try:
        read = [decode_entry(bytes.fromhex(each)) for each in entries]
    except MalformedMessage:
        read = []
    found = {each.coin: each for each in read if isinstance(each, CertifiedEntry)}
    signed = all(any(each.holds(key, bank) for key in keys) for each in found.values())
    if len(found) < len(entries) or not signed:
        raise UserError(f"{path}: an entry in `withdrawn` isn't signed by the bank, or stands there twice")
    return found


def _statement(path: Path, listed: _Account, bank: bytes, keys: tuple[bytes, ...]) -> Statement | None:
    if not listed.statement:
        return None
    try:
        reader = Reader(bytes.fromhex(listed.statement))
        signed = SignedStatement.read(reader)
        reader.end()
    except (ValueError, MalformedMessage):
        raise UserError(f"{path}: the statement of account {listed.account} can't be read") from None
    statement = signed.statement
    said = (statement.bank, statement.account.hex(), statement.sequence, statement.balance)
    if said != (bank, listed.account, listed.sequence, listed.balance):
        raise UserError(f"{path}: the statement of account {listed.account} doesn't say what the list says")
    if not any(signed.holds(key) for key in keys):
        raise UserError(f"{path}: the statement of account {listed.account} isn't signed by the bank")
    return statement
