"""
The file ``succession`` in a successor's folder: which keys the bank had, and since when the newest counts.

``mixmint bank recover`` writes it before the books are in place, so books without it are never run as
another bank's. What is in it stands on the board too; it is here so that a bank starts without reading that.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bank.formats.coin import BankId, bank_id
from bank.formats.fields import Reader
from bank.formats.succession import BankKeys, KeyChange
from bank.settings import BankSettings
from mixmint.errors import MixmintError, UserError
from mixmint.keys import SEED_BYTES, SigningKey, read_secret


@dataclass(frozen=True, slots=True)
class Succession:
    """The bank's keys, the last of them this bank's, and the round that shows its change."""

    keys: BankKeys
    round: int

    @property
    def answers_until(self) -> int:
        """While rounds before this one are the newest closed, it answers what was left unanswered."""
        return self.round + self.keys.changes[-1].answer_rounds


@dataclass(frozen=True, slots=True)
class Whose:
    """A bank's folder: its signing key, its id, and how it came by it (None: the founding key)."""

    key: SigningKey
    bank: BankId
    succession: Succession | None = None

    @property
    def founding(self) -> bytes:
        """The bank's first key, 32 bytes, as the directory lists it."""
        return self.succession.keys.founding if self.succession else self.key.public

    @property
    def earlier(self) -> tuple[bytes, ...]:
        """The keys (32 bytes) that the bank signed with before this one."""
        keys = self.succession.keys.all if self.succession else ()
        return tuple(key for key in keys if key != self.key.public)

    @property
    def answers_until(self) -> int:
        return self.succession.answers_until if self.succession else 0


class _File(msgspec.Struct, forbid_unknown_fields=True):
    founding: str
    changes: list[str]
    round: int


def write_succession(path: Path, succession: Succession) -> None:
    """Replace the file in one step. Raises UserError."""
    keys = succession.keys
    content = _File(keys.founding.hex(), [each.encode().hex() for each in keys.changes], succession.round)
    beside = path.with_name(path.name + ".new")
    try:
        with beside.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise UserError(f"can't write {path}: {error.strerror}") from None


def read_succession(path: Path) -> Succession | None:
    """None when there is no such file: the bank has its founding key. Raises UserError for a damaged one."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_File)
        keys = BankKeys(bytes.fromhex(found.founding))
        for text in found.changes:
            keys = keys.after(KeyChange.read(Reader(bytes.fromhex(text))))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
    except (msgspec.MsgspecError, ValueError, MixmintError):
        raise UserError(f"{path} is damaged; restore its copy, or run `mixmint bank recover` again") from None
    if not keys.changes:
        raise UserError(f"{path} names no change of key; move it away")
    return Succession(keys, found.round)


def whose(settings: BankSettings) -> Whose:
    """
    The key in a bank's folder, and which bank that is.

    Raises UserError: no key, a damaged record, or a key that isn't the bank's newest.
    """
    key = SigningKey(read_secret(settings.key_path, SEED_BYTES))
    succession = read_succession(settings.succession_path)
    if succession is None:
        return Whose(key, bank_id(key.public))
    if succession.keys.current != key.public:
        raise UserError(
            f"{settings.key_path} isn't the key that {settings.succession_path} says the bank has now; "
            "put the right one in its place"
        )
    return Whose(key, succession.keys.id, succession)
