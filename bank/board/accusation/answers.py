"""
Accusations of a bank by two of its answers that give one coin to two orders. Pure.

Source: docs/spec/accusation.md, section 3; the rounds of holds and promises: docs/spec/order.md, section 3.
"""

from dataclasses import dataclass
from typing import ClassVar

from bank.board.accusation.evidence import read_sized, sized
from bank.board.accusation.standing import Standing
from bank.board.accusation.verdict import Accused, Kind
from bank.formats.answer import Answer, Certificates, Credited, Hold
from bank.formats.coin import CoinKey, coin_id
from bank.formats.fields import Reader
from bank.formats.order import SignedOrder
from bank.formats.request import Deposit, decode_request, encode_request, subject_of
from mixmint.errors import MalformedMessage


@dataclass(frozen=True, slots=True)
class Word:
    """What the bank answered to an opened order: length 2 and the request's bytes; the answer likewise."""

    request: SignedOrder | Deposit
    answer: Answer

    def encode(self) -> bytes:
        return sized(encode_request(self.request)) + sized(self.answer.encode())

    @classmethod
    def read(cls, reader: Reader) -> "Word":
        """Raises MalformedMessage, ``operation`` for requests that spend nothing."""
        request = decode_request(read_sized(reader))
        if not isinstance(request, SignedOrder | Deposit):
            raise MalformedMessage("operation")
        return cls(request, Answer.decode(read_sized(reader)))

    @property
    def order(self) -> SignedOrder:
        return self.request.order if isinstance(self.request, Deposit) else self.request

    @property
    def hold(self) -> Hold | None:
        """Set when the order's coins were kept for it."""
        return self.answer.body if isinstance(self.answer.body, Hold) else None

    @property
    def promised_round(self) -> int | None:
        """Set when the order was executed: the round by which it is on the board."""
        body = self.answer.body
        if isinstance(body, Certificates):
            return body.round
        return body.statement.statement.round if isinstance(body, Credited) else None

    def objection(self, bank_key: bytes, bank: bytes) -> str | None:
        """None when the bank with this key and id answered this order, with a hold or by executing it."""
        if self.hold is None and self.promised_round is None:
            return "an answer neither holds coins nor executes an order"
        if not self.answer.holds(bank_key, bank):
            return "an answer is not signed by the bank's key"
        if self.answer.subject != subject_of(self.request):
            return "an answer belongs to another order"
        if self.order.false_signature() is not None:
            return "an order is not signed by its coins"
        if isinstance(self.request, Deposit) and not self.request.signed.holds():
            return "a deposit is not signed by its account"
        return None


@dataclass(frozen=True, slots=True)
class OverlappingHolds:
    """
    Two answers to two orders that share a coin: two holds whose rounds overlap; a hold, and an execution
    promised for the hold's last round or earlier; two executions. The bank's key 32, then both words, the
    lesser first.

    With N the newest closed round, a hold on a coin runs from N + 1 to some t, and while N < t the bank gives
    the coin to no other order. So the next hold begins after t; and what is executed later is promised for a
    round that isn't closed yet, which is after t too. After an execution the coin is spent for good. N comes
    from the board's receipts and never falls, whatever the board does.
    """

    kind: ClassVar[Kind] = Kind.OVERLAPPING_HOLDS
    bank_key: bytes
    one: Word
    other: Word

    def encode(self) -> bytes:
        return self.bank_key + self.one.encode() + self.other.encode()

    @classmethod
    def read(cls, reader: Reader) -> "OverlappingHolds":
        return cls(reader.take(32), Word.read(reader), Word.read(reader))

    @classmethod
    def of(cls, bank_key: bytes, one: Word, other: Word) -> "OverlappingHolds":
        """In the order that the evidence has them."""
        first, second = sorted((one, other), key=Word.encode)
        return cls(bank_key, first, second)

    def accused(self) -> Accused:
        return Accused(bank=self.bank_key)

    def shared(self) -> list[CoinKey]:
        """The coin keys that both orders spend."""
        return sorted(set(self.one.order.order.inputs) & set(self.other.order.order.inputs))

    def sentence(self) -> str:
        shared = self.shared()
        coin = coin_id(shared[0]).hex() if shared else "of neither"
        both = f"{_said(self.one)}, and {_said(self.other)}"
        return f"The bank gave coin {coin} to two orders at one time: {both}."

    def objection(self, standing: Standing | None = None) -> str | None:
        names = self.bank_key, (standing or Standing.founding(self.bank_key)).bank
        false = self.one.objection(*names) or self.other.objection(*names)
        if false is not None:
            return false
        if self.one.encode() >= self.other.encode():
            return "the answers stand in the wrong order"
        if self.one.order.seal == self.other.order.seal:
            return "both answers are to one order"
        if not self.shared():
            return "the orders share no coin"
        return None if _overlap(self.one, self.other) else "the bank kept its word: one came after the other"


def _overlap(one: Word, other: Word) -> bool:
    if one.hold is not None and other.hold is not None:
        return one.hold.from_round <= other.hold.to_round and other.hold.from_round <= one.hold.to_round
    if one.hold is None and other.hold is None:
        return True
    hold, executed = (one.hold, other.promised_round) if one.hold else (other.hold, one.promised_round)
    return hold is not None and executed is not None and executed <= hold.to_round


def _said(word: Word) -> str:
    if word.hold is not None:
        return f"held from round {word.hold.from_round} to {word.hold.to_round}"
    return f"executed, to be public by round {word.promised_round}"
