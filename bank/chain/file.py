"""The file of an account's chain: JSON, bytes as hex. Both sides write it, and anyone reads it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from bank.formats.account import SignedAccountRequest, SignedStatement
from bank.formats.coin import BankId, bank_id
from bank.formats.fields import Reader
from bank.formats.succession import BankKeys, KeyChange
from mixmint.errors import MalformedMessage, PeerError, UserError

T = TypeVar("T")

FORMAT = "mixmint/account-chain/v1"
MOST_FILE_BYTES = 32 << 20
"""Some 50,000 statements with their requests."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    bank_key: str
    key_changes: list[str]
    account: str
    statements: list[str]
    requests: list[str]


@dataclass(frozen=True, slots=True)
class Chain:
    """
    What one side shows of an account (public key, 32 bytes). ``founding``: the bank's first key (32 bytes),
    ``changes``: those of its keys since; ``requests``: signed by the holder, by whatever side kept them.
    """

    founding: bytes
    changes: tuple[KeyChange, ...]
    account: bytes
    statements: tuple[SignedStatement, ...]
    requests: tuple[SignedAccountRequest, ...]

    @property
    def bank(self) -> BankId:
        return bank_id(self.founding)

    def encode(self) -> bytes:
        """The file, ending in a newline."""
        file = _File(
            FORMAT,
            self.founding.hex(),
            [change.encode().hex() for change in self.changes],
            self.account.hex(),
            [each.encode().hex() for each in self.statements],
            [each.encode().hex() for each in self.requests],
        )
        return msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> "Chain":
        """Read a file from anyone's hands; no signature is checked here. Raises UserError."""
        if len(data) > MOST_FILE_BYTES:
            raise UserError("this is no account's chain: it is too long")
        try:
            file = msgspec.json.decode(data, type=_File)
            if file.format != FORMAT:
                raise UserError(f"this is no account's chain: its format isn't {FORMAT}")
            found = cls(
                bytes.fromhex(file.bank_key),
                tuple(_whole(KeyChange.read, change) for change in file.key_changes),
                bytes.fromhex(file.account),
                tuple(_whole(SignedStatement.read, each) for each in file.statements),
                tuple(_whole(SignedAccountRequest.read, each) for each in file.requests),
            )
        except (msgspec.MsgspecError, MalformedMessage, ValueError):
            raise UserError("this is no account's chain, or a damaged one") from None
        if len(found.founding) != 32 or len(found.account) != 32:
            raise UserError("this is no account's chain, or a damaged one")
        return found

    def keys(self, authorities: Iterable[bytes] | None, threshold: int) -> BankKeys:
        """
        The bank's keys, as the network's authorities (public keys, 32 bytes) let them follow each other.

        Raises UserError: there are changes and no authorities to judge them by, or one that doesn't hold.
        """
        keys = BankKeys(self.founding)
        if self.changes and authorities is None:
            raise UserError(
                "the bank's key has changed since; name the network file, to check that: --network"
            )
        known = frozenset(authorities or ())
        for change in self.changes:
            try:
                if not change.holds(known, threshold):
                    raise UserError("a change of the bank's key isn't signed by the network's authorities")
                keys = keys.after(change)
            except PeerError as error:
                raise UserError(str(error)) from None
        return keys


def _whole(read: Callable[[Reader], T], text: str) -> T:
    reader = Reader(bytes.fromhex(text))
    found = read(reader)
    reader.end()
    return found
