"""
A member's home folder: settings, one key, and what the key stands for.

    member.toml    which network, which gateway, which bank and board
    member.key     32 bytes, mode 0600: everything secret about the member's post derives from it. A
                   passphrase may wrap it (replyblocks.unlocking)
    lock           held by the command that works on the folder
    post.db        conversations and messages, encrypted (replyblocks.store)
    directory      the newest directory that was fetched, if the network has sources

Losing the key loses the mailbox and the messages, never coins: those have seed words of their own.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mix.directory import Directory
from mix.directory.newest import newest_directory
from mix.packet.geometry import TOKEN_BYTES, Token
from mixmint.errors import UserError
from mixmint.keys import BoxKey, Label, SigningKey, labelled_hash, write_new, write_secret
from mixmint.sealing import Sealer
from mixmint.settings import Settings, load
from replyblocks.unlocking import KEY_BYTES, KEY_NAME, Asks, asking, unlock

LOCK_PATIENCE_S = 5.0
LOCK_PAUSE_S = 0.05

SEALING = Label("mixmint/member-sealing/v1")
NAMING = Label("mixmint/member-naming/v1")
OWNER = Label("mixmint/member-owner/v1")
ADDRESS_TOKEN = Label("mixmint/member-address-token/v1")
ADDRESS_ENDPOINT = Label("mixmint/member-address-endpoint/v1")
ADDRESS_SEALING = Label("mixmint/member-address-sealing/v1")
REPLY_TOKEN = Label("mixmint/member-reply-token/v1")
REPLY_ENDPOINT = Label("mixmint/member-reply-endpoint/v1")


class MemberSettings(Settings, frozen=True):
    """``member.toml``."""

    network: Annotated[Path, Meta(description="the network file: which directory to believe")]
    gateway: Annotated[str, Meta(description="the gateway that takes in and keeps this member's packets")]
    bank: Annotated[str, Meta(description="the bank's name in the directory")] = "bank"
    board: Annotated[str, Meta(description="the board's name in the directory")] = "board"
    echo: Annotated[str, Meta(description="the echo service that `mixmint doctor` asks, if listed")] = "echo"
    passphrase_file: Annotated[
        Path | None,
        Meta(
            description="a file (mode 0600) whose first line is this home's passphrase: for daemons, and for "
            "homes that nobody sits at. Default: none, a command asks on the terminal"
        ),
    ] = None


@dataclass(frozen=True)
class Mailbox:
    """A token (16 bytes) at the gateway, and the key that unwraps what comes under it."""

    token: Token
    endpoint: BoxKey


class Member:
    """
    An opened home folder. Its repr shows the folder only.

    ``sealer`` encrypts at rest. ``owner`` owns the mailboxes at the gateway. ``address`` is the mailbox that
    the published address names; ``replies`` is the one that reply blocks lead to: different tokens and
    keys, so that an answer's way never shows whose address it belongs to. ``sealing`` is the address's
    encryption key.
    """

    def __init__(self, home: Path, settings: MemberSettings, directory: Directory, key: bytes) -> None:
        self.home = home
        self.settings = settings
        self.directory = directory
        self.sealer = Sealer(labelled_hash(SEALING, key))
        self.naming_key = labelled_hash(NAMING, key)
        self.owner = SigningKey(labelled_hash(OWNER, key))
        self.address = Mailbox(
            Token(labelled_hash(ADDRESS_TOKEN, key)[:TOKEN_BYTES]),
            BoxKey(labelled_hash(ADDRESS_ENDPOINT, key)),
        )
        self.replies = Mailbox(
            Token(labelled_hash(REPLY_TOKEN, key)[:TOKEN_BYTES]), BoxKey(labelled_hash(REPLY_ENDPOINT, key))
        )
        self.sealing = BoxKey(labelled_hash(ADDRESS_SEALING, key))

    def __repr__(self) -> str:
        return f"Member({self.home})"


def create_member(home: Path, network_file: Path, gateway_name: str, now_s: float | None = None) -> Member:
    """
    Make a member's home: settings and key, nothing at the gateway yet.

    Raises UserError: there is a member in this folder already, the network file isn't good, or the network
    has no such gateway.
    """
    directory = _directory(network_file, home, now_s)
    directory.gateway(gateway_name)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (home / KEY_NAME).exists():
        raise UserError(f"{home} holds a member already; choose another --home")
    settings = (
        "# A mixmint member. Paths count from this folder.\n"
        f'network = "{os.path.relpath(network_file.resolve(), home.resolve())}"\n'
        f'gateway = "{gateway_name}"\n'
    )
    # The key last: a folder with a key is complete, and a crash before it leaves a folder to create again.
    (home / "member.toml").unlink(missing_ok=True)
    write_new(home / "member.toml", settings.encode())
    write_secret(home / KEY_NAME, os.urandom(KEY_BYTES))
    return open_member(home, now_s)


def open_member(home: Path, now_s: float | None = None, ask: Asks | None = None) -> Member:
    """
    Read a member's home and the directory it believes. ``ask`` as in ``unlock_home``.

    Raises UserError: no member there, a key that others can read, a wrong passphrase, a directory that is not
    good.
    """
    return member_with(home, unlock_home(home, ask), now_s)


def unlock_home(home: Path, ask: Asks | None = None) -> bytes:
    """
    The home's key, 32 bytes. ``ask`` gets the passphrase of a home that has one; by default the command's way
    (``unlocking.asking``).

    Raises UserError: no member there, a key that others can read, a wrong passphrase.
    """
    if not (home / KEY_NAME).exists():
        raise UserError(
            f"{home} has no member; make one: mixmint wallet init, or mixmint address --create "
            "--network FILE --gateway NAME"
        )
    settings = load(home / "member.toml", MemberSettings)
    return unlock(home, ask or asking(settings.passphrase_file))


def member_with(home: Path, key: bytes, now_s: float | None = None) -> Member:
    """
    The member of a home that is unlocked already (``key``: 32 bytes), settings and directory as they are now:
    for a process that opens it again and again, and has the passphrase checked once.

    Raises UserError: settings or a directory that are not good.
    """
    settings = load(home / "member.toml", MemberSettings)
    directory = _directory(settings.network, home, now_s)
    directory.gateway(settings.gateway)
    return Member(home, settings, directory, key)


def _directory(network: Path, home: Path, now_s: float | None) -> Directory:
    return newest_directory(network, home / "directory", time.time() if now_s is None else now_s)


class HomeInUse(UserError):
    """Another command works on this home."""


@asynccontextmanager
async def lock_home(home: Path, patience_s: float = LOCK_PATIENCE_S) -> AsyncIterator[None]:
    """
    Hold the folder's lock, so that two commands never work on one member at once.

    Waits ``patience_s`` for another command to end. The kernel lets go of it when its holder dies. Raises
    HomeInUse when the other one doesn't end, UserError when the folder can't be locked.
    """
    path = home / "lock"
    try:
        file = path.open("ab")
    except OSError as error:
        raise UserError(f"can't lock {home}: {error.strerror}") from None
    with file:
        give_up = time.monotonic() + patience_s
        while not _try_lock(file.fileno()):
            if time.monotonic() > give_up:
                raise HomeInUse(f"another mixmint command works on {home}; wait for it to end, or stop it")
            await asyncio.sleep(LOCK_PAUSE_S)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
