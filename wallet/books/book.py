"""
The purse's bookkeeping: feeds events to the machines and writes down what follows.

State and its effects on coins are one transaction. What goes outside (questions to the bank, conversations to
forget) is returned, and done after the commit; a crash between forgets it, and ``Begin`` brings it back.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bank.board.reading.client import Cursor, VerifiedRound
from bank.formats.answer import Answer
from bank.formats.claim import Claim
from bank.formats.entry import Entry, TermsEntry
from bank.formats.succession import KeyChange
from bank.ledger.terms import Terms
from wallet.answers import Bank
from wallet.books.effects import Effects
from wallet.books.evidence import Evidence
from wallet.books.knowledge import Knowledge
from wallet.books.signing import renew
from wallet.claiming import accusation_of, check_told
from wallet.expiry import book_expired
from wallet.lookout import Lookout
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.machines.steps import (
    FINAL,
    Ask,
    Claimed,
    Clock,
    Event,
    Forget,
    MakeOutputs,
    Phase,
    Seen,
    Shown,
    Wrong,
)
from wallet.operations import PlanState, Want, advance
from wallet.parts import note_shown, paid_units
from wallet.purse import CoinState, Purse
from wallet.reviving import original_of
from wallet.succession import Cuts, Succession, changes_in
from wallet.terms import newest_terms

Outward = list[Ask | Forget]


class Books(Knowledge):
    """Everything that changes coins and operations goes through here."""

    def __init__(self, purse: Purse, bank: Bank, evidence: Path) -> None:
        """As ``Knowledge``; ``evidence``: the folder where wrong answers are kept as files."""
        super().__init__(purse, bank)
        self._said: list[str] = []
        self._succession = Succession(purse, self._said)
        self._evidence = Evidence(evidence)
        self._effects = Effects(self, self._evidence, self._feed, self._recovered)

    def keep(self, reason: str, data: bytes) -> Path:
        """Keep evidence as a file."""
        return self._evidence.keep(reason, data)

    def evidence(self) -> list[Path]:
        """What has been kept so far."""
        return self._evidence.all()

    def _recovered(self, statement: bytes) -> None:
        """The successor's first statement of the account, compared with what the old bank signed."""
        self._succession.recovered(statement, self.keep, self._feed, self.closed)

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
            if isinstance(event, Seen):
                note_shown(self.purse, row, before, event.certified)
            return None
        after, effects = advance(before, event, self.head(), self.purse.account())
        if after is before and not effects:
            return None
        self.purse.set_operation(row, after)
        if isinstance(after, OrderState | AccountState):
            if isinstance(event, Claimed):
                self._effects.opened(after)
            if after.claim.entry and after.phase is Phase.SETTLED and before.phase is not Phase.SETTLED:
                self._exchange_once_more(row, after)
        if isinstance(after, OrderState) and before.phase is Phase.REFUSED and after.phase is Phase.SETTLED:
            self._paid_after_all(row, after)
        outward: Outward = []
        for effect in effects:
            if isinstance(effect, Ask | Forget):
                outward.append(effect)
            elif isinstance(effect, MakeOutputs):
                outward += self._feed(row, renew(self.purse, self.copies, row, after, effect.exponents)) or []
            else:
                self._effects.apply(row, effect)
        return outward

    def _exchange_once_more(self, row: int, state: OrderState | AccountState) -> None:
        """What a claim showed to everyone is exchanged by a plan of its own, begun by the next command."""
        coins = tuple(coin for coin in state.mine if self.purse.coin(coin) is not None)
        if coins:
            units = sum(self.worth(coins).values())
            plan = PlanState(want=Want.EXCHANGE, amount=units, coins=coins, opened=True)
            self.purse.add_operation(plan, self.purse.stored(row).made_s)

    def _told(self, row: int, answer: Answer) -> Event | None:
        """The bank's answer to a claim of ours, as an event; None when there is none any more."""
        state = self.purse.operation(row)
        if not isinstance(state, OrderState | AccountState) or not state.claim.entry:
            return None
        claim = Claim.decode(state.claim.entry[1:])
        return check_told(self.bank, claim, state.claim.round, answer, self.known(state))

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
            self.purse.set_fact("cursor", cursor.encode())

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
            units = paid_units(self.purse, plan)
            reason = plan.reason if units < plan.amount else ""
            changes = {"phase": Phase.SETTLED, "last": row, "units": units, "reason": reason}
            self.purse.set_operation(order.parent, msgspec.structs.replace(plan, **changes))
        elif plan.phase is Phase.REFUSED:
            changes = {"phase": Phase.SETTLED, "last": row, "units": plan.amount, "reason": ""}
            self.purse.set_operation(order.parent, msgspec.structs.replace(plan, **changes))

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
            self.purse.set_fact("cursor", rounds[-1].after.encode())
            before = self.crowd()
            crowd = before.after(rounds, self.bank)
            if crowd != before:
                self.purse.set_fact("crowd", crowd.encode())
            for row in self.purse.open_operations():
                feed(row, Clock(rounds[-1].number))
        return changed

    def note_paid(self, row: int) -> None:
        """The board has taken what an order of ours paid to others."""
        with self.purse.transaction():
            state = self.purse.operation(row)
            if isinstance(state, OrderState):
                self.purse.set_operation(row, msgspec.structs.replace(state, posted=True))

    def note_posted(self, row: int) -> None:
        """The board has taken a coin's certificate: it will be in a round of the board's."""
        with self.purse.transaction():
            record = self.purse.coins(CoinState.PENDING).get(row)
            if record is not None:
                self.purse.change_coin(row, record, posted=True)
