"""
The work of ``mixmint bank recover``: the log is read and checked, the books are written beside, then put in
place. Whatever fails, or is killed, before that leaves no books; then it is run again from the start.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bank.board.copies.place import source_at
from bank.board.log.policy import NO_POLICY, load_policy
from bank.board.log.reader import LogReader
from bank.board.reading.client import BoardReader, log_key
from bank.formats.succession import BankKeys, KeyChange
from bank.recovery.balances import read_balances
from bank.recovery.change import read_change
from bank.recovery.opening import Rebuilt
from bank.recovery.rebuild import Rebuild
from bank.recovery.record import Succession, write_succession
from bank.settings import BankSettings
from bank.stores.opening import fresh_store
from mix.directory import Authorities, Directory, load_authorities
from mix.directory.newest import directory_of
from mixmint.errors import MalformedMessage, PeerError, UserError
from mixmint.keys import SEED_BYTES, SigningKey, read_secret
from mixmint.settings import load

PAGE_ROUNDS = 500
CONFIG = "bank.toml"
POLICY = "policy"

Progress = Callable[[int, int], None]
"""Told how many entries are read, and of how many."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network as its file says: directory, authorities, and the policy beside it, if there is one."""

    directory: Directory
    authorities: Authorities
    policy: Path | None

    @classmethod
    def load(cls, path: Path, policy: Path | None = None) -> "Network":
        """Raises UserError."""
        beside = path.parent / POLICY
        return cls(
            directory_of(path, time.time()),
            load_authorities(path),
            policy or (beside if beside.exists() else None),
        )


@asynccontextmanager
async def board_at(where: str, network: Network, board: str) -> AsyncIterator[BoardReader]:
    """
    The log of the directory's board ``board``, read at a URL, or in a folder that a board or mirror wrote.

    Raises UserError.
    """
    service = network.directory.service(board)
    policy = load_policy(network.policy) if network.policy else NO_POLICY
    async with source_at(where) as source:
        yield BoardReader(LogReader(source, log_key(service.url, service.identity, policy), policy))


def keys_of(founding: bytes, changes: Sequence[KeyChange], who: Authorities) -> BankKeys:
    """The bank's keys after these changes, in any order. Raises UserError: one doesn't hold, or follow."""
    keys = BankKeys(founding)
    for change in sorted(changes, key=lambda each: each.number):
        if not change.holds(who.keys, who.threshold):
            raise UserError(
                f"change {change.number} isn't signed by {who.threshold} of the network's authorities; "
                "see: mixmint bank change check"
            )
        try:
            keys = keys.after(change)
        except PeerError as error:
            raise UserError(
                f"change {change.number}: {error.detail}; name all changes of this bank"
            ) from None
    return keys


async def recover(
    folder: Path,
    where: str,
    balances: Path,
    changes: Sequence[Path],
    policy: Path | None,
    progress: Progress,
    accepted_units: int = 0,
) -> Rebuilt:
    """
    Make the books of the bank in ``folder``, which has settings and keys. ``accepted_units``: so much may
    have been withdrawn after the list was made.

    Raises UserError (whatever doesn't fit together, or can't be read), PeerError, MalformedMessage (the log
    contradicts itself), FatalError (the store).
    """
    settings = load(folder / CONFIG, BankSettings)
    network = Network.load(settings.network, policy)
    key = SigningKey(read_secret(settings.key_path, SEED_BYTES))
    service = network.directory.service(settings.name)
    keys = keys_of(service.identity, [read_change(path) for path in changes], network.authorities)
    if keys.current != key.public:
        raise UserError(
            f"the newest change is to key {keys.current.hex()}, and {settings.key_path} is {key.public.hex()}"
        )
    listed = read_balances(balances, keys.id, keys.all)
    rebuild = Rebuild(keys, network.authorities, listed)
    async with (
        board_at(where, network, settings.board) as reader,
        fresh_store(settings, keys.id) as store,
    ):
        size = (await reader.log.checkpoint()).checkpoint.size
        while True:
            try:
                rounds = await reader.rounds(rebuild.cursor, PAGE_ROUNDS)
            except (PeerError, MalformedMessage) as error:
                raise UserError(f"the log at {where} can't be believed ({error}); try a mirror") from None
            if not rounds:
                break
            rebuild.accept(store.run(partial(rebuild.take, rounds=rounds)))
            progress(rebuild.cursor.index, max(size, rebuild.cursor.index))
        rebuild.check()
        made = store.run(lambda book: rebuild.finish(book, key, accepted_units))
        # Before the books are in place: with them alone the bank would not start.
        write_succession(settings.succession_path, Succession(keys, made.round))
    return made
