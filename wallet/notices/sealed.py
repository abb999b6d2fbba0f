"""
A notice as a file. Where the request gave a key, the file is closed to all but the payee; else it is plain.

It is no money either way: but the order in it shows which coins the payer has, and what he says.
"""

import stat
from collections.abc import Iterable
from pathlib import Path

from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import BoxKey, write_secret
from replyblocks.envelope import Envelope, open_envelope, seal_envelope
from wallet.notices.notice import (
    FIRST_LINE,
    MOST_TEXT_CHARACTERS,
    Notice,
    armour,
    notice_text,
    parse_notice,
    unarmour,
)
from wallet.payment_request import PaymentRequest

CLOSED_LINE = "mixmint closed payment notice v1"


def write_notice(path: Path, notice: Notice, request: PaymentRequest) -> None:
    """
    Write the file, mode 0600, durably. Written again after a crash, it may replace only what it wrote.

    Raises UserError when another file is there.
    """
    text = notice_text(notice)
    if request.reply is not None:
        # A closed one is different each time, and can't be compared: it is replaced.
        if _is_closed(path):
            path.unlink()
        text = _close(text, request.reply.key)
    elif path.exists() and path.read_bytes() == text.encode() and not _is_open_to_others(path):
        return
    write_secret(path, text.encode())


def _is_open_to_others(path: Path) -> bool:
    return bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _is_closed(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(CLOSED_LINE)) == CLOSED_LINE.encode()
    except OSError:
        return False


def _close(text: str, key: bytes) -> str:
    try:
        # The answer key of an envelope is for an answer to it; nobody answers this one.
        return armour(CLOSED_LINE, seal_envelope(Envelope(BoxKey.generate().public, (), text), key))
    except ValueError:
        raise UserError("the request's key can't be sealed to; ask the payee for a new request") from None


def is_notice(text: str) -> bool:
    """Whether a text begins like a notice, plain or closed."""
    return text.lstrip().startswith((FIRST_LINE, CLOSED_LINE))


def open_notice(text: str, keys: Iterable[BoxKey]) -> Notice:
    """
    Read a notice's text; a closed one with whichever of these keys opens it.

    Raises UserError: no notice, damaged, or closed to somebody else.
    """
    if len(text) > MOST_TEXT_CHARACTERS * 2:
        raise UserError("this file is too large for a payment notice")
    if not text.lstrip().startswith(CLOSED_LINE):
        return parse_notice(text)
    sealed = unarmour(CLOSED_LINE, text)
    for key in keys:
        try:
            return parse_notice(open_envelope(sealed, key).text)
        except MalformedMessage:
            continue
    raise UserError("this notice is for another wallet's request")
