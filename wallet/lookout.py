"""
What the board shows of a wallet: which coins came, which are spent, which operations are seen.

Whole rounds are matched here, at home, against keyed hashes of our ids; nobody is asked about a single coin.
The board comes before every answer: a coin of ours that it shows is ours, in whatever state its operation
was, and a coin that it shows as spent is spent. A certificate proves itself, so it is the same whether the
bank put it there or its holder (a ``PostedEntry`` is a ``CertifiedEntry``).
"""

from collections import defaultdict

from bank.board.reading.client import VerifiedRound
from bank.formats.answer import Answer
from bank.formats.claim import Claim
from bank.formats.entry import AnswerEntry, CertifiedEntry, ClaimEntry, PostedEntry, ReplacedEntry, SpentEntry
from mixmint.errors import MalformedMessage
from wallet.anonymity.crowd import beside
from wallet.answers import Bank
from wallet.expiry import book_replaced
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.machines.steps import Phase, Seen
from wallet.operations import Machine, PlanState
from wallet.parts import watched
from wallet.payment_request import PaymentRequest
from wallet.purse import CoinRecord, CoinState, Purse
from wallet.restoring.copies import Copies

OURS_TO_COME = (CoinState.EXPECTED, CoinState.VOID, CoinState.PENDING)


class Lookout:
    """What to look for in a page of rounds, collected once; used inside the purse's transaction."""

    def __init__(self, purse: Purse, bank: Bank, copies: Copies) -> None:
        self._purse = purse
        self._bank = bank
        self._copies = copies
        self._marks = purse.marks() | copies.marks()
        self._seals: dict[bytes, int] = {}
        self._targets: dict[tuple[bytes, int], list[int]] = defaultdict(list)
        self._all_seals: dict[bytes, int] | None = None
        self._claims: dict[bytes, int] = {}
        self._answers: dict[bytes, int] = {}
        operations = purse.open_operations()
        self._open = operations.keys()
        for row, stored in operations.items():
            self.watch_claim(row, stored.state)
            for seal in seals_of(stored.state):
                self._seals[seal] = row
            if isinstance(stored.state, OrderState):
                # The payee's outputs too: an order is settled when all of its entries are there.
                for output in stored.state.order.outputs:
                    self._targets[output.coin, output.exponent].append(row)

        for row, plan in watched(purse, operations).items():
            # Another copy of this wallet pays the same request, or somebody who has seen it.
            for output in PaymentRequest.decode(plan.request).outputs:
                self._targets[output.coin, output.exponent].append(row)

    def match(self, round_: VerifiedRound) -> dict[int, Seen]:
        """What a round shows of our operations, by row; our coins are booked on the way."""
        certified: dict[int, set[bytes]] = defaultdict(set)
        published: dict[int, set[bytes]] = defaultdict(set)
        spent: dict[int, set[bytes]] = defaultdict(set)
        for entry in round_.entries:
            if isinstance(entry, CertifiedEntry):
                for row in self._certified(entry, round_):
                    certified[row].add(entry.coin)
                    if not isinstance(entry, PostedEntry):
                        published[row].add(entry.coin)
            elif isinstance(entry, ReplacedEntry):
                if entry.holds(self._bank.keys.key_at(round_.first), self._bank.id):
                    book_replaced(self._purse, entry.coin)
            elif isinstance(entry, SpentEntry):
                row = self._spent(entry)
                if row:
                    spent[row].add(entry.coin_key)
        for row in spent.keys() - self._open:
            certified[row] |= self._of_refused(row, round_)
        return {
            row: Seen(
                round_.number,
                frozenset(certified[row]),
                frozenset(spent[row]),
                frozenset(certified[row] - published[row]),
            )
            for row in certified.keys() | spent.keys()
        }

    def watch_claim(self, row: int, state: Machine | PlanState) -> None:
        """Look for an operation's claim, if it has one, and for what the bank answers to it."""
        entry = state.claim.entry if isinstance(state, OrderState | AccountState) else b""
        if entry:
            self._claims[entry] = row
            self._answers[Claim.decode(entry[1:]).answer_subject] = row

    def claims(self, round_: VerifiedRound) -> list[tuple[int, Answer | None]]:
        """
        What a round has of our claims, by row: None for a claim itself, and else what the bank answers to it,
        by its signature.
        """
        if not self._claims:
            return []
        found: list[tuple[int, Answer | None]] = []
        for entry in round_.entries:
            if isinstance(entry, ClaimEntry) and (row := self._claims.get(entry.encode(), 0)):
                found.append((row, None))
            elif isinstance(entry, AnswerEntry) and (answer := _read(entry)) is not None:
                row = self._answers.get(answer.subject, 0)
                if row and answer.holds(self._bank.keys.key_at(round_.first), self._bank.id):
                    found.append((row, answer))
        return found

    def _of_refused(self, row: int, round_: VerifiedRound) -> set[bytes]:
        """What a round certifies of an order that the bank had refused: the payee's outputs too."""
        state = self._purse.operation(row)
        if not isinstance(state, OrderState) or state.phase is not Phase.REFUSED:
            return set()
        wanted = {(output.coin, output.exponent) for output in state.order.outputs}
        return {
            entry.coin
            for entry in round_.entries
            if isinstance(entry, CertifiedEntry)
            and (entry.coin, entry.exponent) in wanted
            and entry.holds(self._bank.keys.key_at(round_.first), self._bank.id)
        }

    def _certified(self, entry: CertifiedEntry, round_: VerifiedRound) -> set[int]:
        """The operations that asked for this coin with this value."""
        is_ours = self._purse.mark_of(entry.coin) in self._marks
        rows = self._targets.get((entry.coin, entry.exponent), [])
        if not (is_ours or rows):
            return set()
        if not entry.holds(self._bank.keys.key_at(round_.first), self._bank.id):
            return set()
        maker = self._arrived(entry, round_) if is_ours else 0
        return {*rows, maker} - {0}

    def _arrived(self, entry: CertifiedEntry, round_: VerifiedRound) -> int:
        """A coin of ours is on the board; the row of the operation that asked for it so, or 0."""
        if self._copies.meet(entry.coin):
            # Behind a coin of another copy's its next ones are looked for.
            self._marks |= self._purse.marks() | self._copies.marks()
        found = self._purse.coin(entry.coin)
        if found is None or not is_to_come(found[1]):
            return 0
        row, record = found
        self._purse.change_coin(
            row,
            record,
            state=CoinState.RESERVED if record.state is CoinState.RESERVED else CoinState.FREE,
            exponent=entry.exponent,
            certificate=entry.certificate,
            epoch=entry.epoch,
            round=round_.number,
            beside=beside(round_, entry.exponent, entry.epoch),
        )
        self._purse.note_shown(record)
        return record.operation if record.exponent == entry.exponent else 0

    def _spent(self, entry: SpentEntry) -> int:
        """The operation of ours that spent this coin, or 0; a coin of ours is booked."""
        row = self._seals.get(entry.seal, 0)
        is_ours = self._purse.mark_of(entry.coin) in self._marks
        if not (is_ours or row) or not entry.holds():
            return 0
        row = row or self._closed_seals().get(entry.seal, 0)
        if is_ours:
            self._left(entry, row)
        return row

    def _left(self, entry: SpentEntry, row: int) -> None:
        """A coin of ours is shown as spent: by our operation ``row``, or (0) by somebody else."""
        found = self._purse.coin(entry.coin)
        if found is None or found[1].state is CoinState.SPENT:
            return
        proof = entry.coin_key + entry.seal + entry.signature
        if row or found[1].state is CoinState.HANDED:
            # Handed over and exchanged by the payee: as it should be.
            self._purse.change_coin(*found, state=CoinState.SPENT, operation=row, proof=b"" if row else proof)
        else:
            self._copies.spent(*found, proof)

    def _closed_seals(self) -> dict[bytes, int]:
        """The seals of all operations, also those that are over: read only when a coin of ours was spent."""
        if self._all_seals is None:
            stored = self._purse.operations().items()
            self._all_seals = {seal: row for row, each in stored for seal in seals_of(each.state)}
        return self._all_seals


def _read(entry: AnswerEntry) -> Answer | None:
    try:
        return Answer.decode(entry.body)
    except MalformedMessage:
        return None


def is_to_come(record: CoinRecord) -> bool:
    """Whether a certificate is waited for; after a change of the bank's key also of a coin set aside."""
    return record.state in OURS_TO_COME or (record.state is CoinState.RESERVED and not record.certificate)


def seals_of(state: Machine | PlanState) -> tuple[bytes, ...]:
    """The seals of every order that an operation ever sent."""
    if isinstance(state, OrderState):
        return (state.opened.seal, *state.earlier)
    if isinstance(state, AccountState) and state.is_deposit:
        return (state.opened.seal,)
    return ()
