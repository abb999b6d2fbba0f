"""
Restores and backups of a home: files, locks, sockets and processes put together.

A restore that was cut short has left a purse that says so; run again, it goes on, and asks for no words.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

from bank.board.copies.place import source_at
from bank.board.log.policy import NO_POLICY, load_policy
from bank.board.log.reader import LogReader
from bank.board.reading.client import log_key
from mixmint.database import remove_database
from mixmint.errors import FatalError, MalformedMessage, UserError
from mixmint.keys import sync_folder
from mixmint.passphrase import MODERATE, Cost, Passphrase
from mixmint.settings import load
from replyblocks.member import Member, MemberSettings, lock_home, open_member
from replyblocks.unlocking import asking, chosen_passphrase, is_locked, lock, unlock
from wallet.derivation import MOST_DEVICE
from wallet.purse import FILE_NAME, CoinState, Purse
from wallet.restoring.backup import BackupFile, Head, write_backup
from wallet.restoring.copies import note_copies
from wallet.restoring.reading import BareReader
from wallet.restoring.rows import read_rows, write_rows
from wallet.restoring.scan import Scan, Told
from wallet.restoring.state import Restoring
from wallet.restoring.words import SeedWords
from wallet.restoring.workers import Workers
from wallet.session import bank_of, member_for
from wallet.settings import load_settings

At = Callable[[str], None]
MOST_WISHED = 255
"""The highest device number that one may ask for."""


@dataclass(frozen=True)
class Restored:
    """What came of it: the account's key, coins found (free and spent), units, this copy's device number."""

    account: bytes
    free: int
    spent: int
    units: int
    device: int

    @classmethod
    def of(cls, purse: Purse) -> "Restored":
        free, spent = purse.coins(CoinState.FREE), purse.coins(CoinState.SPENT)
        units = sum(coin.units for coin in free.values())
        return cls(purse.account().public, len(free), len(spent), units, purse.device)


def begin(
    home: Path, network: Path | None, gateway: str | None, words: Callable[[], SeedWords], device: int
) -> tuple[Member, bool]:
    """
    Make a purse of these words, which the board will fill; or find the restore that was cut short. The
    member, and whether it was; ``words`` is asked only for a new one.

    Raises UserError: there is a wallet already; ``words`` may, too.
    """
    if device > MOST_WISHED:
        # Those below are all looked for.
        raise UserError(f"--device is at most {MOST_WISHED}")
    path = home / FILE_NAME
    if path.exists():
        member = open_member(home)
        with closing(Purse(path, member.sealer, bank_of(member).id)) as purse:
            if Restoring.of(purse) is not None:
                return member, True
        raise UserError(f"{home} holds a wallet already; choose another --home")
    # Before a home is made: wrong words leave nothing behind.
    seed = words().seed()
    member = member_for(home, network, gateway)
    state = Restoring(device=device).encode()
    Purse.create(path, member.sealer, bank_of(member).id, seed, restoring=state).close()
    return member, False


@asynccontextmanager
async def scanning(
    member: Member, place: str | None, processes: int, told: Told
) -> AsyncIterator[tuple[Scan, Purse]]:
    """
    The search that was begun in this member's home. ``place``: a board's URL or a mirror's folder, instead of
    the directory's board. Raises UserError: nothing was begun; another command works there.
    """
    home = member.home
    async with lock_home(home), source_at(place or _board(member)) as source:
        bank = bank_of(member)
        with closing(Purse(home / FILE_NAME, member.sealer, bank.id)) as purse:
            policy_path = load_settings(home).policy
            policy = load_policy(policy_path) if policy_path else NO_POLICY
            service = member.directory.service(member.settings.board)
            # Whoever serves the log: the directory says whose signature it must have.
            log = LogReader(source, log_key(service.url, service.identity, policy), policy)
            workers = Workers(purse.reveal_seed(), purse.bank, processes)
            async with workers, Scan(purse, BareReader(log), bank, workers, told=told) as scan:
                yield scan, purse


def _board(member: Member) -> str:
    return member.directory.service(member.settings.board).url


async def seed_words(home: Path) -> SeedWords:
    """The words of the wallet in this home. Raises UserError."""
    member = open_member(home)
    async with lock_home(home):
        with closing(Purse(home / FILE_NAME, member.sealer, bank_of(member).id)) as purse:
            return SeedWords.of(purse.reveal_seed())


async def change_passphrase(home: Path, file: Path | None, *, remove: bool) -> None:
    """
    Ask for the old passphrase, if there is one, and the new one (from ``file`` or the terminal), and change
    it. Raises UserError: a wrong one, or the home has none to remove; nothing is changed then.
    """
    if not is_locked(home) and remove:
        raise UserError(f"{home} has no passphrase")
    settings = load(home / "member.toml", MemberSettings)
    key = unlock(home, asking(settings.passphrase_file))
    new = None if remove else chosen_passphrase(file)
    async with lock_home(home):
        lock(home, key, new)


def back_up(
    home: Path, path: Path, passphrase: Passphrase, cost: Cost = MODERATE, at: At = lambda _: None
) -> None:
    """Write the wallet in this home, as it is at one moment, to a backup file. Raises UserError."""
    member = open_member(home)
    head = Head(bank_of(member).id, member.settings.gateway)
    rows = read_rows(home / FILE_NAME, member.sealer)
    with closing(rows):
        write_backup(path, head, rows, passphrase, cost, at)


def restore_backup(
    home: Path,
    network: Path | None,
    gateway: str | None,
    path: Path,
    passphrase: Passphrase,
    at: At = lambda _: None,
) -> Restored:
    """
    Make a wallet of a backup file. It gets a device number of its own: the original may be at work.

    Raises UserError: a wrong passphrase, a damaged file, another bank, a wallet is there. Then there is none.
    """
    with closing(BackupFile(path, passphrase)) as backup:
        member = member_for(home, network, gateway or backup.head.gateway)
        bank = bank_of(member).id
        if backup.head.bank != bank:
            raise UserError("this backup is of another bank's wallet; name that bank's network")
        fresh = home / (FILE_NAME + ".new")
        remove_database(fresh)
        try:
            write_rows(fresh, member.sealer, backup.rows())
        except MalformedMessage:
            remove_database(fresh)
            raise UserError(
                "this backup holds something else than a wallet; use another copy of it"
            ) from None
        except UserError:
            remove_database(fresh)
            raise
    at("rows-written")
    with closing(Purse(fresh, member.sealer, bank)) as purse:
        highest = max([purse.device, *(device for device, _ in purse.counters())])
        if highest >= MOST_DEVICE:
            raise FatalError("there is no device number left")
        with purse.transaction():
            purse.set_device(highest + 1)
            note_copies(purse)
        found = Restored.of(purse)
    at("device-changed")
    # Closed, the database is one file; under its name it is whole.
    fresh.rename(home / FILE_NAME)
    at("purse-renamed")
    sync_folder(home)
    return found
