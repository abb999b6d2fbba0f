"""
What opens a member's home: the file ``member.key``, as it is or wrapped by a passphrase.

    32 bytes            as it is: whoever can read the file opens everything
    otherwise           wrapped (mixmint/passphrase.py): the file is worth nothing without the passphrase

Everything that the home stores is sealed under keys that derive from those 32 bytes, so wrapping them covers
it all, and changing the passphrase changes this one small file.

A passphrase comes from a file, from standard input or from the terminal, where it isn't shown; never from an
argument or the environment, which other programs can see.
"""

import sys
from collections.abc import Callable
from getpass import getpass
from pathlib import Path

import click

from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import read_private, replace_secret
from mixmint.passphrase import (
    MODERATE,
    Cost,
    Passphrase,
    is_wrapped,
    new_passphrase,
    passphrase_of,
    unwrap,
    wrap,
    wrapped_bytes,
)

KEY_BYTES = 32
KEY_NAME = "member.key"
FILE_OPTION = "mixmint.passphrase-file"
"""Where a command's ``--passphrase-file`` waits in its click context."""
_MOST_LINE_BYTES = 4096

Asks = Callable[[str], Passphrase]
"""Gets a passphrase; the text says what it is for. Raises UserError."""


def is_locked(home: Path) -> bool:
    """Whether the home's key is wrapped. Raises UserError when there is none, or others can read it."""
    return is_wrapped(_stored(home))


def _stored(home: Path) -> bytes:
    path = home / KEY_NAME
    data = read_private(path, wrapped_bytes(KEY_BYTES))
    if len(data) not in (KEY_BYTES, wrapped_bytes(KEY_BYTES)):
        raise UserError(f"key {path} is damaged; restore it from a backup")
    return data


def unlock(home: Path, ask: Asks) -> bytes:
    """
    The home's key, 32 bytes; ``ask`` is called only when it is wrapped.

    Raises UserError: no key, one that others can read, a wrong passphrase.
    """
    data = _stored(home)
    if len(data) == KEY_BYTES:
        return data
    try:
        return unwrap(data, ask(f"passphrase of {home}"))
    except MalformedMessage:
        raise UserError(f"key {home / KEY_NAME} is damaged; restore it from a backup") from None
    except UserError as error:
        raise UserError(f"{error}; {home} stays locked") from None


def lock(
    home: Path,
    key: bytes,
    passphrase: Passphrase | None,
    cost: Cost = MODERATE,
    at: Callable[[str], None] = lambda _: None,
) -> None:
    """Keep the home's key under this passphrase from now on; None: as it is. Raises UserError."""
    replace_secret(home / KEY_NAME, key if passphrase is None else wrap(key, passphrase, cost), at)


def asking(file: Path | None = None) -> Asks:
    """
    How this process gets a passphrase: from the command's ``--passphrase-file``, else from ``file``, which
    settings name for daemons, else from the terminal.
    """
    context = click.get_current_context(silent=True)
    named: Path | None = context.meta.get(FILE_OPTION) if context else None
    chosen = named or file
    if chosen is not None:
        return lambda _: passphrase_in(chosen)
    return lambda what: passphrase_of(typed(what))


def passphrase_in(file: Path) -> Passphrase:
    """The first line of a file (``-``: of standard input). Raises UserError."""
    if str(file) == "-":
        return passphrase_of(sys.stdin.readline(_MOST_LINE_BYTES).rstrip("\r\n"))
    line, _, _ = read_private(file, _MOST_LINE_BYTES).partition(b"\n")
    try:
        return passphrase_of(line.rstrip(b"\r").decode())
    except UnicodeDecodeError:
        raise UserError(f"{file} holds no passphrase: its first line isn't text") from None


def passphrase_from(file: Path | None, what: str) -> Passphrase:
    """A passphrase from a file or typed. Raises UserError."""
    return passphrase_of(typed(what)) if file is None else passphrase_in(file)


def chosen_passphrase(file: Path | None, what: str = "new passphrase") -> Passphrase:
    """A new passphrase, from a file or typed twice. Raises UserError."""
    if file is not None:
        return new_passphrase(passphrase_in(file).decode())
    text = typed(what)
    found = new_passphrase(text)
    if typed("the same again") != text:
        raise UserError("the two are different; nothing was changed")
    return found


def typed(what: str) -> str:
    """Ask for something on the terminal without showing it. Raises UserError when there is no terminal."""
    if not sys.stdin.isatty():
        raise UserError(f"the {what} is needed, and there is no terminal; name a file (see --help)")
    try:
        return getpass(f"{what}: ")
    except EOFError:
        raise UserError("stopped; nothing was changed") from None
