"""
Bearer files: coins handed over as bytes (docs/spec/bearer.md).

Whoever has the file has the money, and so has everyone who ever had a copy. The payee exchanges the coins at
once; until the exchange is settled he has been promised something, no more. Who of two spent a coin twice
can't be told from outside.
"""

import base64
import binascii
import hmac
import stat
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bank.formats.coin import BEARER_COIN_BYTES, Coin
from bank.formats.fields import Reader
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import Label, labelled_hash, write_secret

CHECKSUM_LABEL = Label("mixmint/bearer-checksum/v1")

FIRST_LINE = "mixmint bearer coins v1"
CHECKSUM_BYTES = 4
MOST_COINS = 64
_LINE_CHARACTERS = 76
MOST_FILE_BYTES = 4 * MOST_COINS * BEARER_COIN_BYTES


@dataclass(frozen=True, slots=True)
class Bearer:
    """
    Coins of one bank; the repr hides them. Bytes: bank id 32, count 1 (1..64), coins 101 each, ascending.
    """

    bank: bytes
    coins: tuple[Coin, ...]

    @property
    def units(self) -> int:
        return sum(coin.units for coin in self.coins)

    def encode(self) -> bytes:
        coins = sorted(coin.encode() for coin in self.coins)
        return self.bank + len(coins).to_bytes(1) + b"".join(coins)

    @classmethod
    def decode(cls, data: bytes) -> "Bearer":
        """Raises MalformedMessage: ``length``, ``counts``, ``value``, ``order`` (not ascending, or twice)."""
        reader = Reader(data)
        bank, count = reader.take(32), reader.number(1)
        if not 1 <= count <= MOST_COINS:
            raise MalformedMessage("counts")
        coins = tuple(Coin.read(reader) for _ in range(count))
        reader.end()
        secrets = [coin.secret for coin in coins]
        if any(a >= b for a, b in pairwise(secrets)):
            raise MalformedMessage("order")
        return cls(bank, coins)

    def text(self) -> str:
        """The file: the first line, then base64 of bytes and checksum in lines of 76."""
        data = self.encode()
        armour = base64.b64encode(data + _checksum(data)).decode()
        lines = [armour[at : at + _LINE_CHARACTERS] for at in range(0, len(armour), _LINE_CHARACTERS)]
        return "\n".join((FIRST_LINE, *lines, ""))

    def __repr__(self) -> str:
        return f"Bearer(units={self.units}, coins={len(self.coins)})"


def _checksum(data: bytes) -> bytes:
    return labelled_hash(CHECKSUM_LABEL, data)[:CHECKSUM_BYTES]


def parse_bearer(text: str) -> Bearer:
    """Read a bearer file's text. Raises UserError: not such a file, cut short or changed."""
    first, _, armour = text.strip().partition("\n")
    if first.strip() != FIRST_LINE:
        raise UserError(f"this is no bearer file; one begins with the line '{FIRST_LINE}'")
    damaged = "the bearer file is damaged; ask the payer for a whole copy"
    try:
        data = base64.b64decode("".join(armour.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UserError(damaged) from None
    content, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if not hmac.compare_digest(checksum, _checksum(content)):
        raise UserError(damaged)
    try:
        return Bearer.decode(content)
    except MalformedMessage:
        raise UserError(damaged) from None


def read_bearer(path: Path) -> Bearer:
    """Read a bearer file. Raises UserError."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
    if len(data) > MOST_FILE_BYTES:
        raise UserError(f"{path} is too large for a bearer file")
    try:
        return parse_bearer(data.decode("ascii"))
    except UnicodeDecodeError:
        raise UserError(f"{path} is no bearer file") from None


def write_bearer(path: Path, bearer: Bearer) -> None:
    """
    Write a bearer file, mode 0600, durably.

    The very same file that is there already is left as it is: a hand-over that is resumed writes again.

    Raises UserError when another file is there.
    """
    text = bearer.text().encode("ascii")
    if path.exists() and path.read_bytes() == text and not stat.S_IMODE(path.stat().st_mode) & 0o077:
        return
    write_secret(path, text)
