"""
The purse's bookkeeping: feeds events to the machines and writes down what follows.

State and its effects on coins are one transaction. What goes outside (questions to the bank, conversations to
forget) is returned, and done after the commit; a crash between forgets it, and ``Begin`` brings it back.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from bank.board.reading.client import Cursor, VerifiedRound
from bank.formats.account import Operation, SignedAccountRequest, SignedStatement, Statement
from bank.formats.answer import Answer
from bank.formats.claim import Claim
from bank.formats.coin import Coin, coin_id, total_units
from bank.formats.entry import Entry, PostedEntry, TermsEntry
from bank.formats.fields import Reader
from bank.formats.order import Order, Output, SignedOrder, input_ids, sign_order
from bank.formats.succession import KeyChange
from bank.formats.terms import PublishedTerms
from bank.ledger.terms import Terms
from mixmint.errors import FatalError, MalformedMessage
from mixmint.keys import SigningKey, write_secret
from wallet.anonymity.crowd import Crowd
from wallet.answers import Bank, Booking, Known
from wallet.claiming import accusation_of, check_told
from wallet.derivation import Purpose
from wallet.expiry import book_expired
from wallet.lookout import Lookout, is_to_come, seals_of
from wallet.machines.account import AccountState
from wallet.machines.claim import RECLAIM
from wallet.machines.foreign import ForeignState
from wallet.machines.invoice import InvoiceState
from wallet.machines.order import MOST_PROMISED_ROUNDS, OrderState
from wallet.machines.steps import (
    FINAL,
    Ask,
    Blamed,
    Certify,
    Claimed,
    Clock,
    Dispute,
    Effect,
    Event,
    Extend,
    Forget,
    Free,
    Keep,
    Lose,
    MakeOutputs,
    Phase,
    Renewed,
    Replaced,
    Shown,
    Spend,
    Void,
    Wrong,
)
from wallet.operations import Machine, PlanState, Want, advance
from wallet.parts import paid_units
from wallet.purse import CoinState, Purse
from wallet.restoring.copies import Copies
from wallet.reviving import original_of, revive
from wallet.statements import keep_statement
from wallet.succession import Cuts, Succession, changes_in, with_known_changes
from wallet.terms import newest_terms

Outward = list[Ask | Forget]

FORGOTTEN_ROUNDS = 2
"""So long after the promised round the wallet takes it that the bank forgot."""

_IN_HAND = (CoinState.FREE, CoinState.RESERVED, CoinState.PENDING, CoinState.DISPUTED)


class Books:
    """Everything that changes coins and operations goes through here."""

    def __init__(self, purse: Purse, bank: Bank, evidence: Path) -> None:
        """
        ``bank``: as the directory and the network file say; the purse knows how its key was changed since.
        ``evidence``: the folder where wrong answers are kept as files.
        """
        self.purse = purse
        self.bank = with_known_changes(purse, bank)
        self._said: list[str] = []
        self._succession = Succession(purse, self._said)
        self._evidence = evidence
        self.copies = Copies(purse)

    # The account's chain and the place on the board

    def head(self) -> Statement | None:
        """The last verified statement of the account's chain."""
        signed = self.purse.fact("chain")
        return None if not signed else SignedStatement.read(Reader(signed)).statement

    def cursor(self) -> Cursor | None:
        """How far the board was read; None before the first time. Raises FatalError when it can't be read."""
        stored = self.purse.fact("cursor")
        try:
            return None if stored is None else Cursor.decode(stored)
        except MalformedMessage:
            raise FatalError(
                "the purse's place on the board is damaged, or of a board without a log"
            ) from None

    @property
    def closed(self) -> int:
        """The newest round of the board that was read; 0 before the first."""
        cursor = self.cursor()
        return cursor.round if cursor else 0

    def set_cursor(self, cursor: Cursor) -> None:
        self.purse.set_fact("cursor", cursor.encode())

    def crowd(self) -> Crowd:
        """How many unspent coins of each value and epoch the board has, as far as it was read."""
        stored = self.purse.fact("crowd")
        return Crowd() if stored is None else Crowd.decode(stored)

    def terms(self) -> PublishedTerms | None:
        """The bank's newest terms that the board has shown; None before the first."""
        stored = self.purse.fact("terms")
        return None if stored is None else PublishedTerms.read(Reader(stored))

    def learn_terms(self, entries: Sequence[Entry], first: int) -> None:
        """
        Keep the newest of the bank's terms among these entries, inside the purse's transaction. ``first``:
        the index of a leaf in their round, by which the bank's key is chosen.
        """
        if not any(isinstance(entry, TermsEntry) for entry in entries):
            return
        known = self.terms()
        newest = newest_terms(known, entries, self.bank.id, self.bank.keys.key_at(first))
        if newest is not None and newest != known:
            self.purse.set_fact("terms", newest.encode())

    def book_expired(self) -> None:
        """Set coins aside that are over, by the closing time of the newest round that was read."""
        cursor, terms = self.cursor(), self.terms()
        if cursor is not None and terms is not None:
            with self.purse.transaction():
                book_expired(self.purse, Terms.of(terms), cursor.closed_at_s)

    def known(self, state: Machine) -> Known:
        """What an answer to this operation is checked against."""
        cursor = self.cursor()
        closed, seals = cursor.round if cursor else 0, frozenset(seals_of(state))
        if isinstance(state, ForeignState):
            return Known(self.head(), closed, seals=seals, foreign=state.opened)
        if not isinstance(state, AccountState):
            return Known(self.head(), closed, seals=seals)
        units = sum(self.worth(state.inputs()).values())
        return Known(self.head(), closed, units, seals, self._bookings(), shared=self.copies.may_sign)

    def _bookings(self) -> dict[bytes, Booking]:
        """What the bank may book on the account: every request that was ever signed, by its digest."""
        bookings = {}
        for stored in self.purse.operations().values():
            state = stored.state
            if isinstance(state, AccountState):
                deposited = sum(self.worth(state.inputs()).values())
                for data in state.requests:
                    request = SignedAccountRequest.read(Reader(data)).request
                    units = deposited + total_units(output.exponent for output in request.outputs)
                    bookings[request.digest()] = Booking(request.sequence, request.operation, units)
        return bookings

    def worth(self, coins: Sequence[bytes]) -> dict[bytes, int]:
        """What each of these coins of ours is worth, in units."""
        found = {coin: self.purse.coin(coin) for coin in coins}
        return {coin: each[1].units for coin, each in found.items() if each is not None}

    # Events

    def feed(self, row: int, event: Event) -> Outward:
        """One event to one operation, in a transaction of its own; what is to be done outside."""
        with self.purse.transaction():
            return self._feed(row, self._with_accusation(row, event)) or []

    def _with_accusation(self, row: int, event: Event) -> Event:
        """A wrong answer is kept as an accusation file, if it makes one that holds."""
        if not isinstance(event, Wrong):
            return event
        parent = getattr(self.purse.operation(row), "parent", 0)
        file = accusation_of(self.purse, self.bank, event, parent)
        return event if file is None else Wrong(file, event.reason)

    def _feed(self, row: int, event: Event) -> Outward | None:
        """None when the event changed nothing."""
        before = self.purse.operation(row)
        if isinstance(before, PlanState):
            return None
        after, effects = advance(before, event, self.head(), self.purse.account())
        if after is before and not effects:
            return None
        self.purse.set_operation(row, after)
        if isinstance(after, OrderState | AccountState):
            if isinstance(event, Claimed):
                self._opened(after)
            if after.claim.entry and after.phase is Phase.SETTLED and before.phase is not Phase.SETTLED:
                self._exchange_once_more(row, after)
        if isinstance(after, OrderState) and before.phase is Phase.REFUSED and after.phase is Phase.SETTLED:
            self._paid_after_all(row, after)
        outward: Outward = []
        for effect in effects:
            if isinstance(effect, Ask | Forget):
                outward.append(effect)
            elif isinstance(effect, MakeOutputs):
                outward += self._feed(row, self._renew(row, after, effect.exponents)) or []
            else:
                self._apply(row, effect)
        return outward

    def _apply(self, row: int, effect: Effect) -> None:
        if isinstance(effect, Certify):
            self._certify(effect)
        elif isinstance(effect, Spend):
            self._move(effect.coins, CoinState.SPENT, operation=row)
        elif isinstance(effect, Free):
            self._free(row, effect.coins)
        elif isinstance(effect, Lose):
            proof = effect.coin_key + effect.seal + effect.signature
            self._lose(coin_id(effect.coin_key), proof, self._signed_by_us(effect.seal), row)
        elif isinstance(effect, Dispute):
            self._move((effect.coin,), CoinState.DISPUTED)
        elif isinstance(effect, Void):
            self._void(effect.coins)
        elif isinstance(effect, Replaced):
            self._move(effect.coins, CoinState.REPLACED, operation=row)
        elif isinstance(effect, Extend):
            keep_statement(self.purse, effect.statement)
            self.purse.set_fact("chain", effect.statement)
            self._look_at_recovered(effect.statement)
        elif isinstance(effect, Keep):
            self.keep(effect.reason, effect.data)

    def _exchange_once_more(self, row: int, state: OrderState | AccountState) -> None:
        """What a claim showed to everyone is exchanged by a plan of its own, begun by the next command."""
        coins = tuple(coin for coin in state.mine if self.purse.coin(coin) is not None)
        if coins:
            units = sum(self.worth(coins).values())
            plan = PlanState(want=Want.EXCHANGE, amount=units, coins=coins, opened=True)
            self.purse.add_operation(plan, self.purse.stored(row).made_s)

    def _opened(self, state: OrderState | AccountState) -> None:
        """Everyone will see what goes in and what comes out: these coins are recognisable from now on."""
        inputs = state.inputs() if isinstance(state, AccountState) else input_ids(state.order)
        for coin in {*inputs, *state.mine}:
            found = self.purse.coin(coin)
            if found is not None:
                self.purse.change_coin(*found, recognisable=True)

    def _told(self, row: int, answer: Answer) -> Event | None:
        """The bank's answer to a claim of ours, as an event; None when there is none any more."""
        state = self.purse.operation(row)
        if not isinstance(state, OrderState | AccountState) or not state.claim.entry:
            return None
        claim = Claim.decode(state.claim.entry[1:])
        return check_told(self.bank, claim, state.claim.round, answer, self.known(state))

    def _look_at_recovered(self, data: bytes) -> None:
        """The successor's first statement of the account, compared with what the old bank signed."""
        if SignedStatement.read(Reader(data)).statement.operation is Operation.RECOVERED:
            cursor = self.cursor()
            newest = cursor.round if cursor else 0
            self._succession.recovered(data, self.keep, self._feed, newest)

    def changes_in(self, round_: VerifiedRound) -> list[KeyChange]:
        """Changes of the bank's key in a round that the authorities signed, as far as can be told before."""
        who = self.bank.authorities
        return [change for change in changes_in(round_.entries) if change.holds(who.keys, who.threshold)]

    def news(self) -> list[str]:
        """Lines for the member about the bank's keys, each once."""
        said = list(self._said)
        self._said.clear()
        return said

    def begin(self, cursor: Cursor, entries: Sequence[Entry]) -> None:
        """
        Begin at the head of the board's log, with the bank's keys and terms that stand before it: their
        entries, in the log's order.
        """
        with self._undone_in_memory(), self.purse.transaction():
            self.bank = self._succession.learn(self.bank, list(entries), cursor.index)
            self.learn_terms(entries, cursor.index)
            self.set_cursor(cursor)

    @contextmanager
    def _undone_in_memory(self) -> Iterator[None]:
        """What a transaction that fails has changed beside the purse."""
        bank = self.bank
        try:
            yield
        except BaseException:
            self.bank = bank
            raise

    def _paid_after_all(self, row: int, order: OrderState) -> None:
        """The board shows a payment that the bank had refused: the member isn't told to pay again."""
        plan = self.purse.operation(order.parent) if order.parent else None
        is_payment = order.purpose in ("payment", "hold")
        if not is_payment or not isinstance(plan, PlanState) or plan.want is not Want.PAY:
            return
        if plan.parts and plan.phase in FINAL:
            units = paid_units(self.purse, order.parent)
            reason = plan.reason if units < plan.amount else ""
            changes = {"phase": Phase.SETTLED, "last": row, "units": units, "reason": reason}
            self.purse.set_operation(order.parent, msgspec.structs.replace(plan, **changes))
        elif plan.phase is Phase.REFUSED:
            changes = {"phase": Phase.SETTLED, "last": row, "units": plan.amount, "reason": ""}
            self.purse.set_operation(order.parent, msgspec.structs.replace(plan, **changes))

    def _certify(self, effect: Certify) -> None:
        for output, certificate in zip(effect.outputs, effect.certificates, strict=True):
            found = self.purse.coin(output.coin)
            if found is not None and is_to_come(found[1]):
                kept = found[1].state is CoinState.RESERVED
                self.purse.change_coin(
                    *found,
                    state=CoinState.RESERVED if kept else CoinState.PENDING,
                    exponent=output.exponent,
                    certificate=certificate,
                    epoch=effect.epoch,
                    round=effect.round,
                )

    def _move(self, coins: Sequence[bytes], state: CoinState, **changes: Any) -> None:
        for coin in coins:
            found = self.purse.coin(coin)
            # Coins from a bearer file are not in the purse; the plan that received them has them.
            if found is not None:
                self.purse.change_coin(*found, state=state, **changes)

    def _free(self, row: int, coins: Sequence[bytes]) -> None:
        for coin in coins:
            found = self.purse.coin(coin)
            if found is not None and found[1].state is CoinState.RESERVED and found[1].operation == row:
                # Without a certificate, after a change of the bank's key, it is no money yet.
                state = CoinState.FREE if found[1].certificate else CoinState.EXPECTED
                self.purse.change_coin(*found, state=state)

    def _void(self, coins: Sequence[bytes]) -> None:
        for coin in coins:
            found = self.purse.coin(coin)
            if found is not None and found[1].state is CoinState.EXPECTED:
                self.purse.change_coin(*found, state=CoinState.VOID)

    def _lose(self, coin: bytes, proof: bytes, row: int, said_to: int) -> None:
        """
        A coin is spent: by our own order ``row`` (a payee was quicker than we), or (0) by a stranger's. The
        bank's answer to operation ``said_to`` says so.
        """
        found = self.purse.coin(coin)
        if found is None or found[1].state not in _IN_HAND:
            return
        if row and (refusal := self._refusal_of(row)):
            # The bank has said, signed and for good, that this order of ours isn't executed; and it has our
            # signature of it for ever. Only the board can say now that it was.
            self.keep("refused-and-spent", refusal + proof)
            self.purse.change_coin(*found, state=CoinState.DISPUTED, proof=proof)
            if getattr(self.purse.operation(said_to), "purpose", "") == RECLAIM:
                revive(self.purse, row)
        elif row:
            self.purse.change_coin(*found, state=CoinState.SPENT, operation=row)
            self._feed(row, Blamed(self._refusal_of(said_to), self._public_by()))
        else:
            self.copies.spent(*found, proof)

    def _public_by(self) -> int:
        """The round by which the board shows what the bank has done by now."""
        terms = self.terms()
        promised = MOST_PROMISED_ROUNDS if terms is None else terms.promise_rounds
        return self.closed + promised + FORGOTTEN_ROUNDS

    def _refusal_of(self, row: int) -> bytes:
        """The bank's signed answer that refused an operation of ours for good; empty when it didn't."""
        state = self.purse.operation(row)
        if isinstance(state, OrderState | AccountState) and state.phase is Phase.REFUSED:
            return state.proof
        return b""

    def _signed_by_us(self, seal: bytes) -> int:
        """The row of the order of ours with this seal; 0 when there is none."""
        stored = self.purse.operations().items()
        return next((row for row, each in stored if seal in seals_of(each.state)), 0)

    def _renew(self, row: int, state: Machine, exponents: tuple[int, ...]) -> Renewed:
        """Fresh ids where ours were taken (a second device made them first), and the order signed anew."""
        if isinstance(state, InvoiceState):
            raise FatalError("a payment request asks the bank nothing")
        old = self.purse.coin(state.mine[0])
        if old is None:
            raise FatalError("an operation's own coin isn't in the purse")
        self._void(state.mine)
        record = old[1]
        self.copies.jump(Purpose(record.purpose))
        outputs = self.purse.expect(
            Purpose(record.purpose),
            exponents,
            row,
            exchanges=record.exchanges,
            recognisable=record.recognisable,
        )
        if isinstance(state, AccountState):
            return Renewed(outputs)
        others = [output for output in state.order.outputs if output.coin not in state.mine]
        signed = self.sign(state.order, (*others, *outputs), state.parent)
        return Renewed(outputs, signed.encode())

    # Signing

    def sign(self, order: Order, outputs: Sequence[Output], parent: int) -> SignedOrder:
        """An order with these outputs, under a new request id and salt, signed by its inputs' coin keys."""
        fresh = Order(
            order.bank,
            os.urandom(16),
            order.last_round,
            tuple(sorted(order.inputs)),
            tuple(sorted(outputs, key=lambda output: output.coin)),
            order.account,
            order.tau,
            order.note,
        )
        return sign_order(fresh, [self._key(coin_id(public), parent) for public in fresh.inputs])

    def _key(self, coin: bytes, parent: int) -> SigningKey:
        found = self.purse.coin(coin)
        if found is not None:
            return found[1].key()
        plan = self.purse.operation(parent) if parent else None
        for data in plan.coins if isinstance(plan, PlanState) else ():
            bearer = Coin.read(Reader(data))
            if bearer.id() == coin:
                return bearer.key()
        raise FatalError("the secret of an order's coin isn't in the purse")

    # The board

    def read(self, rounds: Sequence[VerifiedRound], cuts: Cuts | None = None) -> dict[int, Outward]:
        """
        Book a page of rounds (at least one) and the cursor after it, in one transaction. Returns the
        operations that it changed, by row, with what is to be done outside. ``cuts``: for each change of the
        bank's key in them, the last round that counts of the old key, by the cut's size.
        """
        changed: dict[int, Outward] = {}

        def feed(row: int, event: Event) -> None:
            outward = self._feed(row, event)
            if outward is not None:
                changed.setdefault(row, []).extend(outward)

        with self._undone_in_memory(), self.purse.transaction():
            lookout = Lookout(self.purse, self.bank, self.copies)
            for round_ in rounds:
                bank = self._succession.follow(self.bank, round_, cuts or {}, feed)
                if bank is not self.bank:
                    self.bank = bank
                    lookout = Lookout(self.purse, self.bank, self.copies)
                for row, seen in lookout.match(round_).items():
                    feed(row, seen)
                    if first := original_of(self.purse, row):
                        feed(first, seen)
                for row, answer in lookout.claims(round_):
                    event = Shown(round_.number) if answer is None else self._told(row, answer)
                    if event is not None:
                        feed(row, self._with_accusation(row, event))
                self.learn_terms(round_.entries, round_.first)
            self.set_cursor(rounds[-1].after)
            before = self.crowd()
            crowd = before.after(rounds, self.bank)
            if crowd != before:
                self.purse.set_fact("crowd", crowd.encode())
            for row in self.purse.open_operations():
                feed(row, Clock(rounds[-1].number))
        return changed

    def forgotten(self) -> dict[int, PostedEntry]:
        """
        Certificates that the bank promised to publish, and hadn't when its round was well past: as entries
        for the board, by the coin's row.
        """
        cursor = self.cursor()
        if cursor is None:
            return {}
        return {
            row: PostedEntry(coin.id(), coin.exponent, coin.epoch, coin.certificate)
            for row, coin in self.purse.coins(CoinState.PENDING).items()
            if coin.certificate and not coin.posted and coin.round + FORGOTTEN_ROUNDS <= cursor.round
        }

    def note_posted(self, row: int) -> None:
        """The board has taken a coin's certificate: it will be in a round of the board's."""
        with self.purse.transaction():
            record = self.purse.coins(CoinState.PENDING).get(row)
            if record is not None:
                self.purse.change_coin(row, record, posted=True)

    def keep(self, reason: str, data: bytes) -> Path:
        """
        Keep evidence as a file: the bytes, named by reason and their hash. Written before the state that
        follows from it; written again after a crash, it is the same file.
        """
        self._evidence.mkdir(mode=0o700, exist_ok=True)
        path = self._evidence / f"{reason}-{sha256(data).hexdigest()[:16]}"
        if not path.exists() or path.read_bytes() != data:
            # A torn one is what a crash left.
            path.unlink(missing_ok=True)
            write_secret(path, data)
        return path

    def evidence(self) -> list[Path]:
        """What has been kept so far."""
        return sorted(self._evidence.iterdir()) if self._evidence.exists() else []
