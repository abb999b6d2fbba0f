"""
Which log is meant, where it is, and by whose key it is judged.

A key comes from the command line, from a network's directory, or from a policy. A mirror that is told none
takes the one that it finds at first sight, says so, and keeps to it ever after (the file ``key`` in its
folder): that protects against everyone but whoever was there first.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec

from bank.board.audit.run import Options, trust_of
from bank.board.log.checkpoint import open_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import KeyKind, Note, VerifierKey
from bank.board.log.policy import NO_POLICY, Policy, load_policy
from bank.board.log.source import FolderSource, HttpSource, TileSource
from bank.board.reading.retry import Patient
from bank.board.settings import BoardSettings
from bank.board.writing import journal
from mixmint.errors import FatalError, MalformedMessage, PeerError, UserError
from mixmint.keys import SEED_BYTES, SigningKey, read_secret
from mixmint.settings import load

PINNED = "key"
"""The file of a mirror's folder that says whose log is in it."""
_KEY_PATHS = (PINNED, "api/v1/log")
"""Where a mirror, and a board, say what their log's key is."""


@dataclass(frozen=True)
class Trust:
    """Whose signatures count. ``at_first_sight``: nobody but the source itself said so."""

    log: VerifierKey
    policy: Policy
    at_first_sight: bool = False


@dataclass(frozen=True)
class Place:
    """A copy on this machine. ``settings``: of the board whose own log it is."""

    folder: TileFolder
    log: VerifierKey
    policy: Policy = NO_POLICY
    settings: BoardSettings | None = None

    def held(self) -> Note | None:
        """The checkpoint in the folder; None when there is none that holds."""
        try:
            note = self.folder.checkpoint()
            if note is not None:
                open_checkpoint(note, self.log)
        except (FatalError, PeerError):
            return None
        return note


def _folder_source(folder: Path) -> TileSource:
    if not folder.is_dir():
        raise UserError(f"{folder} is neither a folder nor a URL; a URL begins with https://")
    return FolderSource(folder)


@asynccontextmanager
async def source_at(where: str) -> AsyncIterator[TileSource]:
    """A log's files at a URL or in a folder. Raises UserError: it is neither."""
    if "://" not in where:
        yield _folder_source(Path(where))
        return
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Patient(HttpSource(where, session))


async def trust_for(
    source: TileSource, where: str, folder: Path, key: str | None, network: Path | None, policy: Path | None
) -> Trust:
    """
    By whose key a mirror in ``folder`` is judged.

    Raises UserError: the folder is another log's, or no key can be found.
    """
    named = load_policy(policy) if policy else NO_POLICY
    pinned = pinned_in(folder)
    if key or network or named.log:
        log = trust_of(Options(where, key=key, policy=policy, network=network)).log
    elif pinned is not None:
        log = pinned
    else:
        return Trust(await _first_seen(source), named, at_first_sight=True)
    if pinned is not None and pinned != log:
        raise UserError(f"{folder} is a copy of the log with the key {pinned.text()}; choose another folder")
    return Trust(log, named)


def pinned_in(folder: Path) -> VerifierKey | None:
    """The key that a mirror's folder is judged by; None when it says none. Raises UserError."""
    data = TileFolder(folder).read(PINNED)
    if data is None:
        return None
    try:
        return _log_key(data.decode())
    except (UnicodeDecodeError, MalformedMessage):
        raise UserError(f"{folder / PINNED} is no verifier key; write the right one into it") from None


def pin(folder: TileFolder, log: VerifierKey) -> None:
    """Keep to this key from now on. Raises UserError."""
    if pinned_in(folder.path) is None:
        folder.put(PINNED, f"{log.text()}\n".encode())


def place_at(where: Path, key: str | None, network: Path | None, policy: Path | None) -> Place:
    """
    The copy in a mirror's folder, or a board's own by its settings file.

    Raises UserError: there is none, or whose key counts isn't said.
    """
    if where.is_file():
        settings = load(where, BoardSettings)
        public = SigningKey(read_secret(settings.key_path, SEED_BYTES)).public
        return Place(
            TileFolder(settings.log_path), VerifierKey(settings.log_origin, public), settings=settings
        )
    if not where.is_dir():
        raise UserError(f"{where} is neither a mirror's folder nor a board's settings file")
    named = load_policy(policy) if policy else NO_POLICY
    pinned = pinned_in(where)
    if pinned is None or key or network or named.log:
        return Place(
            TileFolder(where),
            trust_of(Options(str(where), key=key, policy=policy, network=network)).log,
            named,
        )
    return Place(TileFolder(where), pinned, named)


def newest_signed(settings: BoardSettings) -> tuple[Note, int] | None:
    """
    What a board's database signed last, and the size of the round before; None when it has none, or isn't
    there. Raises UserError, FatalError.
    """
    if not settings.database_path.exists():
        return None
    uri = f"{settings.database_path.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            closed, note = journal.head(connection)
            before = journal.round_before(connection, closed.number).size
    except sqlite3.Error as error:
        raise UserError(
            f"can't read {settings.database_path} ({error}); move it away if it is lost"
        ) from None
    return (Note.decode(note), before) if note else None


async def _first_seen(source: TileSource) -> VerifierKey:
    readers: tuple[Callable[[bytes], str], ...] = (bytes.decode, _of_json)
    for path, read in zip(_KEY_PATHS, readers, strict=True):
        data = await source.read(path)
        if data is not None:
            try:
                return _log_key(read(data))
            except (ValueError, PeerError):
                continue
    raise UserError(
        f"{source.name} doesn't say what its log's key is; name it: --key VKEY, or --network FILE"
    )


def _of_json(data: bytes) -> str:
    found = msgspec.json.decode(data, type=dict[str, object]).get("key")
    return str(found)


def _log_key(text: str) -> VerifierKey:
    key = VerifierKey.parse(text.strip())
    if key.kind is not KeyKind.LOG:
        raise MalformedMessage("verifier-key")
    return key
