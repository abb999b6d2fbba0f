"""Who is accused, and what a check of an accusation comes to."""

from dataclasses import dataclass
from enum import IntEnum

from bank.board.log.note import VerifierKey
from bank.formats.coin import BankId, bank_id


class Kind(IntEnum):
    """What an accusation is about: the first byte of its evidence."""

    BOARD_EQUIVOCATION = 1
    """The board signed two logs that can't both be true."""
    COIN_SPENT_TWICE = 2
    CERTIFIED_TWICE = 3
    """One coin id, with two values or two epochs."""
    VALUE_CREATED = 4
    """More certificates than the bank states."""
    STATEMENTS_CONTRADICT = 5
    """One statement that can't be true, or two that can't both be."""
    OVERLAPPING_HOLDS = 6
    """Two answers of the bank's that give one coin to two orders."""
    RECEIPT_BROKEN = 7
    """An entry isn't in the round that the board's receipt names."""
    FEED_RECEIPT_BROKEN = 8
    """The same, of an entry that the bank fed."""
    CLAIM_UNANSWERED = 9
    """A claim that was on the board for longer than the bank's terms allow, without an answer there."""
    LOG_INVALID = 10
    """Leaves that no honest board puts into its log."""
    ENTRY_FALSE = 11
    """An entry whose signature is false."""
    TWO_VIEWS = 12
    """The bank confirmed another log than the board signed."""
    MAP_FALSE = 13
    """The board's map contradicts its log about a coin."""
    WHOLE_LOG = 14
    """Only the whole log proves it."""
    ANSWER_FALSE = 15
    """An answer that contradicts the request, or what a claim shows beside it."""
    ACCOUNT_FORKED = 16
    """Two statements of one account that can't stand in one chain."""
    EXECUTION_DENIED = 17
    """An order that had spent a coin, as the bank said, and had not when it was claimed."""

    @property
    def word(self) -> str:
        """As it stands in the file, e.g. ``coin-spent-twice``."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Accused:
    """
    By public keys: a board, a bank, or both when it was one of the two and can't be told which.

    ``board`` alone with ``or_its_bank``: the bank that feeds this board, whose key the evidence doesn't have.
    ``founding``: the bank's first key (32 bytes), where ``bank`` is a later one.
    """

    board: VerifierKey | None = None
    bank: bytes | None = None
    or_its_bank: bool = False
    founding: bytes | None = None

    @property
    def bank_id(self) -> BankId | None:
        """The accused bank's id, from its founding key."""
        return None if self.bank is None else bank_id(self.founding or self.bank)

    def text(self) -> str:
        """One line."""
        parts = []
        if self.board is not None:
            parts.append(f"board {self.board.text()}")
        if self.bank_id is not None and self.bank is not None:
            parts.append(f"bank {self.bank_id.hex()} with key {self.bank.hex()}")
        if self.or_its_bank:
            parts.append("the bank that feeds it")
        return ", or ".join(parts)


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    ``holds``: whether the evidence proves it, against whoever has these keys. ``sentence``: what it proves,
    or why it doesn't.
    """

    holds: bool
    whom: Accused
    sentence: str
