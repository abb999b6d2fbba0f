"""
The account's chain, whole: every statement that the bank signed for it, every request that the holder did.

Statements are kept in the purse, sealed, for good: they are the holder's proof of what the bank owes him.
Requests are kept with the operations that signed them. Nothing here is pruned.
"""

from bank.chain.file import Chain
from bank.formats.account import SignedAccountRequest, SignedStatement
from bank.formats.fields import Reader
from wallet.answers import Bank
from wallet.machines.account import AccountState
from wallet.purse import Purse

_PREFIX = "statement:"


def keep_statement(purse: Purse, signed: bytes) -> None:
    """Put a signed statement (222 bytes) on file, inside the purse's transaction. Again changes nothing."""
    statement = SignedStatement.read(Reader(signed)).statement
    # By a keyed hash: a copied file doesn't tell which of the bank's statements are in it.
    purse.set_fact(_PREFIX + purse.mark_of(statement.head()).hex(), signed)


def kept_statements(purse: Purse) -> list[SignedStatement]:
    """All of them, by sequence; more than one of a sequence only where the bank forked the chain."""
    found = [SignedStatement.read(Reader(data)) for data in purse.facts(_PREFIX)]
    head = purse.fact("chain")
    if head is not None:
        # A purse from before statements were kept has the newest at least.
        newest = SignedStatement.read(Reader(head))
        found = [each for each in found if each.statement != newest.statement] + [newest]
    return sorted(found, key=lambda each: each.statement.sequence)


def signed_requests(purse: Purse) -> dict[bytes, SignedAccountRequest]:
    """Every account request that this wallet ever signed, by its digest."""
    requests = {}
    for stored in purse.operations().values():
        if isinstance(stored.state, AccountState):
            for data in stored.state.requests:
                signed = SignedAccountRequest.read(Reader(data))
                requests[signed.request.digest()] = signed
    return requests


def chain_of(purse: Purse, bank: Bank) -> Chain:
    """The holder's side of the account, for anyone to check."""
    return Chain(
        bank.keys.founding,
        bank.keys.changes,
        purse.account().public,
        tuple(kept_statements(purse)),
        tuple(sorted(signed_requests(purse).values(), key=lambda each: each.request.sequence)),
    )
