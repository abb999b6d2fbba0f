"""The store that the settings name, opened for whoever asks."""

from bank.announcing import check_terms
from bank.settings import BankSettings
from bank.stores.interface import CommandStore, Store
from bank.stores.sqlite import SqliteCommandStore, SqliteStore, open_books
from mixmint.errors import UserError


def open_store(settings: BankSettings, bank: bytes) -> Store:
    """
    For the daemon of the bank with this id (32 bytes), inside its event loop. A missing store is never made:
    a bank that began anew would accept spent coins again.

    Raises UserError (missing, another bank's, unreadable, full disk), FatalError (damaged, newer version).
    """
    _must_exist(settings)
    return SqliteStore(open_books(settings.database_path, bank))


def open_for_command(settings: BankSettings, bank: bytes) -> CommandStore:
    """For an operator's command; also beside a running bank. Raises as ``open_store``."""
    _must_exist(settings)
    return SqliteCommandStore(open_books(settings.database_path, bank))


def check_store(settings: BankSettings, bank: bytes) -> None:
    """
    Open it, compare its terms with the settings', and let go of it.

    Raises as ``open_store``; UserError also when the settings' terms can't follow the published ones.
    """
    store = open_for_command(settings, bank)
    try:
        store.run(lambda books: check_terms(books, settings.terms))
    finally:
        store.close()


def _must_exist(settings: BankSettings) -> None:
    if not settings.database_path.exists():
        raise UserError(
            f"the books {settings.database_path} are missing; restore their newest copy (a bank that began "
            "anew would accept spent coins again)"
        )
