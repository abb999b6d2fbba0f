"""The operator's commands of the bank: ``mixmint bank``."""

import json
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from nacl import bindings

from bank.chain.commands import check_statement, statement
from bank.recovery.changing import change
from bank.recovery.commands import balances, recover
from mixmint.errors import UserError
from mixmint.keys import PUBLIC_BYTES
from mixmint.settings import load

if TYPE_CHECKING:
    from bank.settings import BankSettings

T = TypeVar("T")
_PATH = click.Path(path_type=Path)
_PORT = click.IntRange(1, 65535)
_CONFIG = click.option("--config", required=True, type=_PATH, help="The bank's settings file.")
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")


@click.group()
def bank() -> None:
    """Run a bank: certify coins, exchange them, keep accounts."""


@bank.command("init")
@click.argument("folder", metavar="DIR", type=_PATH)
@click.option("--name", default="bank", show_default=True, help="The bank's name in the directory.")
@click.option("--gateway", required=True, help="The gateway that it sits behind, e.g. g1.")
@click.option("--board", default="board", show_default=True, help="The board that it publishes on.")
@click.option("--host", required=True, help="Address at which people reach its HTTP side.")
@click.option("--port", required=True, type=_PORT, help="Port of the HTTP side.")
@click.option("--operations-port", required=True, type=_PORT, help="Loopback port for health and metrics.")
@click.option(
    "--statement-rounds", default=360, show_default=True, help="The board's rounds between two statements."
)
@click.option(
    "--claim-rounds", default=600, show_default=True, help="The board's rounds by which a claim is answered."
)
@click.option("--listen-host", help="Address to listen on.  [default: the --host]")
@click.option("--url", default="", help="Public URL, if not http://HOST:PORT (behind a proxy, or HTTPS).")
@click.option("--network", type=_PATH, help="The network file.  [default: network.toml beside DIR]")
@click.option(
    "--postgres", metavar="DSN", help="The books go into this empty database: postgresql://USER@HOST/NAME."
)
@click.option("--postgres-password", type=_PATH, help="A file, mode 0600, with the database's password.")
def init(
    folder: Path,
    name: str,
    gateway: str,
    board: str,
    host: str,
    port: int,
    operations_port: int,
    statement_rounds: int,
    claim_rounds: int,
    listen_host: str | None,
    url: str,
    network: Path | None,
    postgres: str | None,
    postgres_password: Path | None,
) -> None:
    """
    Make a bank's folder: settings, keys, empty books, and the descriptor to hand to the authorities.

    \b
    Example:
      mixmint bank init /etc/mixmint/bank --gateway g1 --host 192.0.2.7 \\
        --port 7201 --operations-port 9201
    """
    from bank.init import create_bank
    from replyblocks.init import http_url, network_beside, path_from

    settings: dict[str, str | int] = {
        "name": name,
        "board": board,
        "network": network_beside(folder, network),
        "host": listen_host or host,
        "port": port,
        "operations_port": operations_port,
        "statement_rounds": statement_rounds,
        "claim_rounds": claim_rounds,
    }
    if postgres:
        settings |= {"store": "postgres", "postgres_dsn": postgres}
    if postgres_password:
        settings["postgres_password_path"] = path_from(folder, postgres_password)
    descriptor, key = create_bank(folder, gateway, url or http_url(host, port), settings)
    click.echo(f"bank {name} is made, signing key {key.public.hex()}")
    click.echo(f"give {descriptor} to the directory's authorities, and back up {folder / 'bank.key'}")


@bank.command("run")
@_CONFIG
@click.option("--check", is_flag=True, help="Check everything, print what would run, and exit.")
def run(config: Path, check: bool) -> None:
    """
    Run a bank until SIGTERM.

    \b
    Example:
      mixmint bank run --config /etc/mixmint/bank/bank.toml
    """
    from bank import daemon

    if check:
        click.echo(daemon.check(config, time.time()))
    else:
        daemon.run_bank(config)


bank.add_command(recover)
bank.add_command(balances)
bank.add_command(change)
bank.add_command(statement)
bank.add_command(check_statement)


@bank.command("migrate")
@_CONFIG
@click.option("--to", "engine", required=True, type=click.Choice(["postgres"]), help="Where to.")
def migrate(config: Path, engine: str) -> None:
    """
    Move the books from SQLite to PostgreSQL, while the bank is stopped.

    Every row is read back and compared before anything counts. The old file stays as it is, and can't be run
    any more. Interrupted, run it again. Then set store = "postgres".

    \b
    Example:
      mixmint bank migrate --config /etc/mixmint/bank/bank.toml --to postgres
    """
    import asyncio

    from bank.stores.moving import move_to_postgres
    from bank.stores.opening import place_of

    settings, bank = _whose(config)
    if not settings.postgres_dsn:
        raise UserError("set postgres_dsn first: an empty database of the bank's own")
    tables = asyncio.run(move_to_postgres(settings.database_path, place_of(settings), bank, click.echo))
    rows = sum(table.rows for table in tables)
    click.echo(f"moved {rows} rows to {engine}" if tables else "the books had been moved before")
    if settings.store != engine:
        click.echo(f'now set store = "{engine}" in {config}, and start the bank')


@bank.group()
def account() -> None:
    """Open, credit and list accounts; also while the bank runs."""


@account.command("open")
@_CONFIG
@click.argument("public", metavar="PUBLICHEX")
def open_(config: Path, public: str) -> None:
    """
    Open an account for a holder's public key (64 hex digits, from `mixmint wallet init`).

    \b
    Example:
      mixmint bank account open --config bank.toml 5f1d...e3
    """
    from bank.ledger.accounts import open_account
    from bank.stores.interface import Books

    key = public_key(public)

    def operation(book: Books, bank_id: bytes) -> None:
        open_account(bank_id, key, book)

    _on_books(config, operation)
    click.echo(f"account {public} is open")


@account.command("credit")
@_CONFIG
@click.argument("public", metavar="PUBLICHEX")
@click.argument("units", type=click.IntRange(1, 2**62))
def credit(config: Path, public: str, units: int) -> None:
    """
    Book money that came in from outside onto an account.

    \b
    Example:
      mixmint bank account credit --config bank.toml 5f1d...e3 100
    """
    from bank.ledger.accounts import credit as book_credit

    key = public_key(public)
    statement = _on_books(config, lambda book, bank_id: book_credit(bank_id, key, units, book))
    click.echo(f"account {public}: {units} units credited, balance {statement.balance}")


@account.command("list")
@_CONFIG
@_JSON
def list_(config: Path, as_json: bool) -> None:
    """
    All accounts and their balances.

    \b
    Example:
      mixmint bank account list --config bank.toml --json
    """
    rows = _on_books(config, lambda book, _: book.accounts())
    if as_json:
        accounts = [
            {"account": key.hex(), "sequence": sequence, "balance": balance}
            for key, sequence, balance in rows
        ]
        click.echo(json.dumps({"accounts": accounts, "total": sum(balance for *_, balance in rows)}))
        return
    for key, sequence, balance in rows:
        click.echo(f"{key.hex()}  {balance:>12} units  {sequence} statements")
    click.echo(f"{len(rows)} accounts, {sum(balance for *_, balance in rows)} units")


@bank.command("evidence")
@_CONFIG
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder; made if need be.")
def evidence(config: Path, out: Path) -> None:
    """
    Write the board's receipts for what it took from the bank and hasn't shown yet, each with its entries.

    While the bank runs or not. A board that breaks its word is convicted by them, and nobody by those that it
    still has time for. Exit code 1: there are none.

    \b
    Example:
      mixmint bank evidence --config bank.toml --out receipts
      mixmint board audit https://board.example.org \\
          --receipt receipts/feed-receipt-812
    """
    from bank.evidence import fed_receipts

    found = _on_books(config, lambda book, _: fed_receipts(book))
    if not found:
        raise UserError("the board has shown all that it took from this bank")
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for last, fed in found.items():
            (out / f"feed-receipt-{last}").write_bytes(fed.encode())
    except OSError as error:
        raise UserError(f"can't write {out}: {error.strerror}") from None
    click.echo(f"{len(found)} receipts in {out}: mixmint board audit URL --receipt FILE")


def public_key(text: str) -> bytes:
    """An account's public key (32 bytes) as typed. Raises UserError."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    # A point of small order, or none at all, could never sign a withdrawal: a typing error.
    if len(key) != PUBLIC_BYTES or not bindings.crypto_core_ed25519_is_valid_point(key):
        raise UserError("an account is named by 64 hex digits; `mixmint wallet account` prints them")
    return key


def _whose(config: Path) -> tuple["BankSettings", bytes]:
    """The settings, and the id (32 bytes) of the bank that they are for."""
    from bank.recovery.record import whose
    from bank.settings import BankSettings

    settings = load(config, BankSettings)
    return settings, whose(settings).bank


def _on_books(config: Path, operation: Callable[..., T]) -> T:
    from bank.stores.opening import open_for_command

    settings, bank = _whose(config)
    with closing(open_for_command(settings, bank)) as store:
        return store.run(lambda book: operation(book, bank))
