"""
Making a bank: the folder that ``mixmint bank init`` leaves behind.

    bank.toml       settings
    bank.key        the signing key, the bank's only secret
    endpoint.key    opens packets for the bank
    bank.db         the books, empty; or they are in PostgreSQL, where the settings say
    descriptor      public: hand it to the directory's authorities

A running bank makes none of these: one that made a missing database would forget which coins are spent.
"""

from collections.abc import Mapping
from pathlib import Path

from bank.formats.coin import bank_id
from bank.settings import BankSettings
from bank.stores.opening import check_place, make_books
from mixmint.keys import SigningKey
from mixmint.settings import load
from replyblocks.init import create_service


def create_bank(
    folder: Path, gateway: str, url: str, settings: Mapping[str, str | int]
) -> tuple[Path, SigningKey]:
    """
    Make a bank's folder; returns the path of its descriptor, and the new signing key.

    Raises UserError if the folder exists and isn't empty: no key is ever overwritten; or if the books can't
    be made.
    """

    if settings.get("store") == "postgres":
        # Before there is a folder, which would have to be removed to try again.
        dsn, secret = str(settings["postgres_dsn"]), settings.get("postgres_password_path")
        check_place(dsn, None if secret is None else folder / str(secret))

    def make(key: SigningKey) -> None:
        # Where the settings say, which are written by now: in a file, or in a database that is there.
        make_books(load(folder / "bank.toml", BankSettings), bank_id(key.public))

    return create_service(folder, "bank", gateway, settings, url=url, identity_file="bank.key", stores=make)
