"""
One chain, checked offline.

1. Each statement is of this bank and account, and signed by a key that the bank had: never by an older one
   than the statement before.
2. Each is the next link: sequence, the hash of the one before, and a balance that adds up. A successor's
   first may begin anew.
3. Each request is signed by the account, and what it asked for is what its statement books.
4. A statement that takes the holder's word (withdraw, deposit, replace) is *accepted* when his request for it
   is there, or a later request of his, which names the head of the chain up to there.

A statement that nobody accepted yet is no fault of a chain: the holder hasn't asked for anything since. It is
what the bank alone says.

Source: docs/spec/account.md, section 5.
"""

from dataclasses import dataclass

from bank.chain.file import Chain
from bank.formats.account import Operation, SignedAccountRequest, Statement
from bank.formats.succession import BankKeys

BY_THE_HOLDER = frozenset({Operation.WITHDRAW, Operation.DEPOSIT, Operation.REPLACE})
"""Operations that the bank may book only at the holder's word."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a chain, from which statement on, and who must explain it: ``bank`` or ``file``."""

    sequence: int
    who: str
    what: str


@dataclass(frozen=True, slots=True)
class Checked:
    """
    A chain and what it proves. ``fault``: the first thing that is wrong, or None. ``accepted``: statements up
    to this one bear the holder's signature too. ``unbooked``: requests of his that no statement here names.
    """

    chain: Chain
    statements: tuple[Statement, ...]
    fault: Fault | None
    accepted: int
    unbooked: tuple[SignedAccountRequest, ...]

    @property
    def balance(self) -> int:
        return self.statements[-1].balance if self.statements else 0

    def unaccepted(self) -> Statement | None:
        """The first statement that takes the holder's word, and doesn't have it here."""
        return next(
            (
                each
                for each in self.statements
                if each.operation in BY_THE_HOLDER and each.sequence > self.accepted
            ),
            None,
        )


def check(chain: Chain, keys: BankKeys) -> Checked:
    """Check one chain by the bank's keys."""
    fault = _links(chain, keys) or _requests(chain)
    good = tuple(
        each.statement
        for each in chain.statements
        if fault is None or each.statement.sequence < fault.sequence
    )
    digests = {each.digest for each in good}
    requests = tuple(each for each in chain.requests if each.holds() and _is_of(each, chain))
    unbooked = tuple(each for each in requests if each.request.digest() not in digests)
    return Checked(chain, good, fault, _accepted(good, requests), unbooked)


def _links(chain: Chain, keys: BankKeys) -> Fault | None:
    before: Statement | None = None
    newest_key = 0
    for signed in chain.statements:
        statement = signed.statement
        number = statement.sequence
        if (statement.bank, statement.account) != (chain.bank, chain.account):
            return Fault(number, "file", "is of another bank or account")
        signers = [index for index, key in enumerate(keys.all) if index >= newest_key and signed.holds(key)]
        if not signers:
            return Fault(number, "file", "isn't signed by the bank")
        newest_key = signers[0]
        if statement.operation is Operation.RECOVERED and newest_key:
            if before is not None and (statement.balance, number) != (before.balance, before.sequence + 1):
                return Fault(
                    number, "bank", f"takes over another balance than statement {before.sequence} says"
                )
        elif before is not None and number == before.sequence and statement != before:
            return Fault(number, "bank", "was signed by the bank twice, with different content")
        elif not statement.follows(before):
            who = "bank" if before is not None and number == before.sequence + 1 else "file"
            return Fault(number, who, "doesn't follow from the one before, or its balance doesn't add up")
        before = statement
    return None


def _requests(chain: Chain) -> Fault | None:
    booked = {each.statement.digest: each.statement for each in chain.statements}
    for signed in chain.requests:
        request = signed.request
        if not signed.holds() or not _is_of(signed, chain):
            return Fault(request.sequence, "file", "has a request that the account never signed")
        statement = booked.get(request.digest())
        if statement is None:
            continue
        asked = sum(1 << output.exponent for output in request.outputs)
        if (statement.operation, statement.sequence) != (request.operation, request.sequence) or (
            asked and asked != statement.amount
        ):
            return Fault(statement.sequence, "bank", "books something else than the holder asked for")
    return None


def _is_of(signed: SignedAccountRequest, chain: Chain) -> bool:
    return (signed.request.bank, signed.request.account) == (chain.bank, chain.account)


def _accepted(statements: tuple[Statement, ...], requests: tuple[SignedAccountRequest, ...]) -> int:
    by_digest = {each.digest: each.sequence for each in statements}
    by_head = {each.head(): each.sequence for each in statements}
    return max(
        (
            max(by_digest.get(each.request.digest(), 0), by_head.get(each.request.head, 0))
            for each in requests
        ),
        default=0,
    )
