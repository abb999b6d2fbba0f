"""
Making a bank: the folder that ``mixmint bank init`` leaves behind.

    bank.toml       settings
    bank.key        the signing key, the bank's only secret
    endpoint.key    opens packets for the bank
    bank.db         the books, empty
    descriptor      public: hand it to the directory's authorities

A running bank makes none of these: one that made a missing database would forget which coins are spent.
"""

from collections.abc import Mapping
from pathlib import Path

from bank.formats.coin import bank_id
from bank.stores.sqlite import open_books
from mixmint.keys import SigningKey
from replyblocks.init import create_service


def create_bank(
    folder: Path, gateway: str, url: str, settings: Mapping[str, str | int]
) -> tuple[Path, SigningKey]:
    """
    Make a bank's folder; returns the path of its descriptor, and the new signing key.

    Raises UserError if the folder exists and isn't empty: no key is ever overwritten.
    """

    def make_books(key: SigningKey) -> None:
        open_books(folder / "bank.db", bank_id(key.public)).close()

    return create_service(
        folder, "bank", gateway, settings, url=url, identity_file="bank.key", stores=make_books
    )
