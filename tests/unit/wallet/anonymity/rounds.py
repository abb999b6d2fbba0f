"""Rounds by hand: entries as a board would show them, without a board."""

from collections.abc import Iterable, Mapping

from bank.board.reading.client import Cursor, VerifiedRound
from bank.formats.coin import bank_id, coin_id, sign_certificate
from bank.formats.entry import CertifiedEntry, Entry, SpentEntry, StatementEntry
from bank.formats.order import SPEND_LABEL
from bank.formats.statement import Row, Tally, sign_statement
from bank.formats.succession import BankKeys
from mixmint.keys import SigningKey
from wallet.answers import Bank

BANK_KEY = SigningKey(b"b" * 32)
BANK = Bank(BankKeys(BANK_KEY.public))


def secret_key(number: int) -> SigningKey:
    """The key of coin ``number``."""
    return SigningKey(number.to_bytes(32))


def certified(number: int, exponent: int = 0, epoch: int = 1) -> CertifiedEntry:
    """Coin ``number`` is certified."""
    coin = coin_id(secret_key(number).public)
    signature = sign_certificate(BANK_KEY, BANK.id, exponent, epoch, coin)
    return CertifiedEntry(coin, exponent, epoch, signature)


def spent(number: int, seal: bytes = b"e" * 32) -> SpentEntry:
    """Coin ``number`` is spent."""
    key = secret_key(number)
    return SpentEntry(key.public, seal, key.sign(SPEND_LABEL, seal))


def stated(
    sequence: int, unspent: Mapping[tuple[int, int], int], key: SigningKey = BANK_KEY
) -> StatementEntry:
    """A statement by which so many coins of each value and epoch are unspent."""
    rows = [
        Row(exponent, epoch, Tally(withdrawn=count, exchanged=count, spent=count))
        for (exponent, epoch), count in unspent.items()
    ]
    bank = bank_id(BANK_KEY.public)
    return StatementEntry(sign_statement(key, bank, sequence, 9, b"r" * 32, Tally(), rows))


def round_of(number: int, entries: Iterable[Entry]) -> VerifiedRound:
    """A round with these entries."""
    return VerifiedRound(number, 1_800_000_000 + number, tuple(entries), Cursor(number), 100 * number)
