"""
A change of the bank's key, in the purse: the keys move on, and what no longer counts is taken back.

A coin that the old key certified is money if its entry stands at the cut. Every other certificate of that
key is so many bytes: the coin is *expected* again, and the order that made it asks for it again. All of it is
in the transaction that moves the purse's place on the board, so a crash changes nothing or everything.

Source: docs/spec/succession.md, section 6; Simon, the input ("recover", p_B*) of a party A_i.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from bank.board.log.tiles import pack, unpack
from bank.board.reading.cursor import VerifiedRound
from bank.formats.account import SignedStatement
from bank.formats.entry import Entry, KeyChangeEntry
from bank.formats.fields import Reader
from bank.formats.succession import BankKeys, KeyChange
from mixmint.errors import FatalError, MalformedMessage, PeerError
from wallet.answers import Bank
from wallet.machines.account import AccountState
from wallet.machines.invoice import InvoiceState
from wallet.machines.steps import KeyChanged, Phase
from wallet.purse import CoinState, Purse

_FACT = "bank-keys"
_TO_TAKE_BACK = (CoinState.FREE, CoinState.PENDING, CoinState.DISPUTED, CoinState.RESERVED)

Feed = Callable[[int, KeyChanged], object]
Cuts = Mapping[int, int]
"""The last round that counts of an old key, by the cut's size."""


def changes_in(entries: "tuple[Entry, ...] | list[Entry]") -> list[KeyChange]:
    """The changes of a key among some entries."""
    return [entry.change for entry in entries if isinstance(entry, KeyChangeEntry)]


def with_known_changes(purse: Purse, bank: Bank) -> Bank:
    """The bank with the changes that the purse has seen. Raises FatalError when they can't be read."""
    stored = purse.fact(_FACT)
    keys = bank.keys
    try:
        for change in unpack(stored or b""):
            keys = keys.after(KeyChange.read(Reader(change)))
    except (MalformedMessage, PeerError):
        raise FatalError("the bank's keys in the purse are damaged") from None
    return replace(bank, keys=keys)


def keep_changes(purse: Purse, keys: BankKeys) -> None:
    """The purse knows these changes from now on; inside its transaction."""
    purse.set_fact(_FACT, pack([change.encode() for change in keys.changes]))


class Succession:
    """Follows the bank's keys, inside the purse's transaction. ``said`` collects lines for the member."""

    def __init__(self, purse: Purse, said: list[str]) -> None:
        self._purse = purse
        self._said = said

    def learn(self, bank: Bank, entries: "tuple[Entry, ...] | list[Entry]", first: int) -> Bank:
        """The bank after the changes among these entries of a round, whose first leaf is ``first``."""
        keys, who = bank.keys, bank.authorities
        for change in changes_in(entries):
            after = keys.follow(change, who.keys, who.threshold, first)
            if after == keys and change.bank == keys.id and not change.holds(who.keys, who.threshold):
                self._said.append(
                    "the board shows a change of the bank's key that too few of the network's authorities "
                    "signed; it is ignored"
                )
            keys = after
        if keys == bank.keys:
            return bank
        keep_changes(self._purse, keys)
        return replace(bank, keys=keys)

    def follow(self, bank: Bank, round_: VerifiedRound, cuts: Cuts, feed: Feed) -> Bank:
        """As ``learn``; and takes back what a change that takes effect here makes worth nothing."""
        after = self.learn(bank, round_.entries, round_.first)
        for change in after.keys.changes[len(bank.keys.changes) :]:
            self._said.append(
                f"the bank's key was changed by the network's authorities: from now on it signs with "
                f"{change.new.hex()[:16]}..."
            )
            self._succeed(KeyChanged(cuts[change.cut.size], round_.number), feed)
        return after

    def _succeed(self, event: KeyChanged, feed: Feed) -> None:
        void = self._take_back(event.cut)
        chain = self._purse.fact("chain")
        if chain:
            # The successor says what he took over; until then nothing is signed upon the old head.
            self._purse.set_fact("chain-before", chain)
            self._purse.set_fact("chain", b"")
        for row, stored in self._purse.operations().items():
            if isinstance(stored.state, InvoiceState):
                self._take_back_payment(row, stored.state, void)
            else:
                feed(row, event)

    def _take_back(self, cut: int) -> set[bytes]:
        """The coins (ids) that lost their certificates: not on the board, or behind the cut's round."""
        void: set[bytes] = set()
        for row, coin in self._purse.coins(*_TO_TAKE_BACK).items():
            if coin.certificate and (coin.state is CoinState.PENDING or coin.round > cut):
                void.add(coin.id())
                state = coin.state if coin.state is CoinState.RESERVED else CoinState.EXPECTED
                changes = {"certificate": b"", "epoch": 0, "round": 0, "posted": False}
                self._purse.change_coin(row, coin, state=state, **changes)
        return void

    def _take_back_payment(self, row: int, state: InvoiceState, void: set[bytes]) -> None:
        arrived = tuple(coin for coin in state.arrived if coin not in void)
        if arrived != state.arrived:
            phase = Phase.WORKING if state.phase is Phase.SETTLED else state.phase
            self._purse.set_operation(row, msgspec.structs.replace(state, arrived=arrived, phase=phase))

    def recovered(self, data: bytes, keep: Callable[[str, bytes], object], feed: Feed, round_: int) -> None:
        """
        The successor's first statement of the account, verified. What the old bank had signed beyond what he
        knows is evidence, and a deposit among that is asked for again.
        """
        first = SignedStatement.read(Reader(data)).statement
        listed = first.sequence - 1
        before = self._purse.fact("chain-before")
        old = SignedStatement.read(Reader(before)).statement if before else None
        if before and old and (old.sequence > listed or old.balance != first.balance):
            keep("account-taken-over", before + data)
            self._said.append(
                f"the bank's successor took your account over with {first.balance} units, by statement "
                f"{listed}; the old bank's statement {old.sequence} says {old.balance} units. Both are kept "
                "in the evidence folder: show them to the bank"
            )
        for row, stored in self._purse.operations().items():
            state = stored.state
            if not isinstance(state, AccountState) or not state.is_deposit:
                continue
            if state.phase is Phase.SETTLED and state.signed().request.sequence > listed:
                feed(row, KeyChanged(round_, round_, unbooked=True))
