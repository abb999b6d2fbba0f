"""A bank that is lost: its log, the change of its key, and the books that are made from them."""

from collections.abc import Sequence
from functools import partial

from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.reading.client import BoardReader
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.order import SPEND_LABEL
from bank.formats.succession import BankKeys, Cut, KeyChange
from bank.recovery.balances import Balances, Listed
from bank.recovery.opening import Rebuilt
from bank.recovery.rebuild import Rebuild
from mix.directory import Authorities
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import LogMaker
from tests.unit.bank.desk import Desk

OLD, NEW = SigningKey(bytes(32)), SigningKey(b"n" * 32)
BANK = bank_id(OLD.public)
AUTHORITIES = tuple(SigningKey(bytes([number]) * 32) for number in (11, 12, 13))
WHO = Authorities(tuple(each.public for each in AUTHORITIES), 2)
HOLDER = SigningKey(b"h" * 32).public


def key(number: int) -> SigningKey:
    return SigningKey(number.to_bytes(32))


def coin(number: int) -> bytes:
    return coin_id(key(number).public)


def certified(number: int, by: SigningKey = OLD, exponent: int = 3) -> CertifiedEntry:
    signature = sign_certificate(by, BANK, exponent, 1, coin_id(key(number).public))
    return CertifiedEntry(coin_id(key(number).public), exponent, 1, signature)


def spent(number: int) -> SpentEntry:
    seal = number.to_bytes(32)
    return SpentEntry(key(number).public, seal, key(number).sign(SPEND_LABEL, seal))


class Log(LogMaker):
    """A board's log; ``cut`` and ``change`` as the authorities make them."""

    def cut(self) -> Cut:
        return Cut(self.edge.size, self.edge.root())

    def change(self, cut: Cut, by: Sequence[SigningKey] = AUTHORITIES[:2]) -> KeyChange:
        made = KeyChange(BANK, 1, OLD.public, NEW.public, cut, 50)
        for authority in by:
            made = made.signed_by(authority)
        return made


async def rebuilt(
    log: Log,
    desk: Desk,
    change: KeyChange,
    balances: Balances | None = None,
    page: int = 2,
    accepted_units: int = 0,
) -> Rebuilt:
    """As `bank recover` does it, into the desk's books."""
    log.publish()
    balances = balances or Balances({HOLDER: Listed(4, 100)})
    rebuild = Rebuild(BankKeys(OLD.public).after(change), WHO, balances)
    reader = BoardReader(LogReader(FolderSource(log.folder.path), log.verifier))
    while rounds := await reader.rounds(rebuild.cursor, page):
        rebuild.accept(desk.run(partial(rebuild.take, rounds=rounds)))
    rebuild.check()
    return desk.run(lambda book: rebuild.finish(book, NEW, accepted_units))
