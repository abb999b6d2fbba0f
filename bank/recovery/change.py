"""
What the network's authorities sign when a bank's key is replaced: drafted, signed one after another, checked.

A change is a file of the entry's bytes, in hexadecimal, so that it can travel by mail. What it says is told
in words before anyone signs, since nobody reads hexadecimal.
"""

from collections.abc import Sequence
from pathlib import Path

from bank.board.log.checkpoint import Checkpoint
from bank.board.reading.client import BoardReader, newest
from bank.formats.entry import Entry, KeyChangeEntry, decode_entry
from bank.formats.succession import BankKeys, Cut, KeyChange
from mix.directory.network import Authorities
from mixmint.errors import MalformedMessage, PeerError, UserError

MOST_FILE_BYTES = 1 << 14


def keys_among(founding: bytes, entries: Sequence[Entry], who: Authorities, size: int) -> BankKeys:
    """The bank's keys after the changes among these entries of a log of ``size`` leaves."""
    keys = BankKeys(founding)
    for entry in entries:
        if isinstance(entry, KeyChangeEntry):
            keys = keys.follow(entry.change, who.keys, who.threshold, size)
    return keys


async def draft(
    reader: BoardReader, founding: bytes, who: Authorities, new: bytes, answer_rounds: int
) -> KeyChange:
    """
    The next change of the bank with this founding key, to ``new`` (32 bytes), cut at the newest checkpoint
    that the reader's policy takes. Not signed.

    Raises Unavailable, PeerError, MalformedMessage (the board), UserError (an empty log, a key that the bank
    had before).
    """
    checkpoint = (await newest(reader.log)).checkpoint
    keys = keys_among(founding, await reader.bank_entries(), who, checkpoint.size)
    return next_change(keys, new, checkpoint, answer_rounds)


def next_change(keys: BankKeys, new: bytes, checkpoint: Checkpoint, answer_rounds: int) -> KeyChange:
    """Raises UserError."""
    if not checkpoint.size:
        raise UserError("the board's log is empty: a bank that never published needs no successor")
    number, cut = len(keys.changes) + 1, Cut(checkpoint.size, checkpoint.root)
    made = KeyChange(keys.id, number, keys.current, new, cut, answer_rounds)
    try:
        keys.after(made)
    except PeerError:
        raise UserError(
            f"the bank had the key {new.hex()} before; make a new one: mixmint bank change key FILE"
        ) from None
    return made


def read_change(path: Path) -> KeyChange:
    """Raises UserError."""
    try:
        text = path.read_text() if path.stat().st_size <= MOST_FILE_BYTES else ""
        entry = decode_entry(bytes.fromhex(text))
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
    except (ValueError, MalformedMessage):
        raise UserError(
            f"{path} is no change of a bank's key; `mixmint bank change draft` makes one"
        ) from None
    if not isinstance(entry, KeyChangeEntry):
        raise UserError(f"{path} is an entry of another kind")
    return entry.change


def text_of(change: KeyChange) -> str:
    """A change's file."""
    return KeyChangeEntry(change).encode().hex() + "\n"


def in_words(change: KeyChange, who: Authorities | None = None) -> str:
    """What the change says, and who signed it; for people. ``who``: whose signatures count."""
    lines = [
        f"The bank {change.bank.hex()[:16]}... gets another signing key: its change number {change.number}.",
        f"    the key so far    {change.old.hex()}",
        f"    the new key       {change.new.hex()}",
        "What the old key certified counts if it is among the board's first",
        f"{change.cut.size:,} entries (root {change.cut.root.hex()}).",
        "Nothing that it signs for a later place is worth anything, whoever has it: neither coins that it",
        "certifies from now on, nor those that it certified and the board doesn't show there.",
        f"For {change.answer_rounds:,} rounds the new bank answers orders that the old one left unanswered.",
        "It can't be taken back. Sign it only if the bank's people, or the members, asked for it, and if you",
        "were told the new key by somebody whom you know.",
    ]
    good = [
        authority
        for authority, _ in change.signatures
        if who is None or (authority in who.keys and change.holds((authority,), 1))
    ]
    lines += [f"Signed by {authority.hex()}" for authority in good]
    if who is not None:
        missing = who.threshold - len(good)
        enough = "enough" if missing <= 0 else f"{missing} more must sign"
        lines.append(f"{len(good)} of {len(who.keys)} authorities signed, {who.threshold} must: {enough}.")
    return "\n".join(lines)
