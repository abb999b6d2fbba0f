"""``mixmint wallet withdraw``, ``deposit``, ``replace`` and ``statement``: between account and purse."""

import json
from pathlib import Path

import click

from mixmint.errors import UserError
from replyblocks.commands.options import home_option, json_option
from wallet.cashier import Cashier
from wallet.commands.running import amount_argument, finish, run, say
from wallet.machines.steps import Phase


@click.command()
@amount_argument
@home_option
@json_option
@click.pass_context
def withdraw(context: click.Context, amount: int, home: Path, as_json: bool) -> None:
    """
    Take AMOUNT units out of the account, as coins.

    The bank knows the account and the coins, so exchange them before they should be anonymous; paying
    without --now does that by itself.

    Example: mixmint wallet withdraw 25
    """

    async def work(cashier: Cashier) -> int:
        outcome = await cashier.withdraw(amount)
        head = cashier.books.head()
        left = f"; {head.balance} units left in the account" if head else ""
        return finish(
            cashier,
            outcome,
            lambda view: f"withdrew {view['amount']} units, settled in round {view['round']}{left}",
            as_json=as_json,
        )

    context.exit(run(home, work, as_json=as_json))


@click.command()
@amount_argument
@home_option
@json_option
@click.pass_context
def deposit(context: click.Context, amount: int, home: Path, as_json: bool) -> None:
    """
    Put AMOUNT units of coins back into the account.

    Only coins that this wallet has exchanged itself are deposited, so that nobody who paid you learns whose
    account they went to; others are exchanged first.

    Example: mixmint wallet deposit 8
    """

    async def work(cashier: Cashier) -> int:
        outcome = await cashier.deposit(amount)
        head = cashier.books.head()
        now = f"; the account has {head.balance} units" if head else ""
        return finish(
            cashier,
            outcome,
            lambda view: f"deposited {view['units']} units, settled in round {view['round']}{now}",
            as_json=as_json,
        )

    context.exit(run(home, work, as_json=as_json))


@click.command()
@click.option("--yes", is_flag=True, help="Don't ask.")
@home_option
@json_option
@click.pass_context
def replace(context: click.Context, yes: bool, home: Path, as_json: bool) -> None:
    """
    Put expired coins that were withdrawn and never spent back into the account.

    It is possible when the bank has retired their epoch, some weeks after they expired, and only with the
    receipt of the withdrawal, which this wallet has if it made it. A wallet that was restored from its words
    hasn't. Coins that were ever exchanged, or came from others, can't be replaced: nobody can tell whose they
    are.

    Example: mixmint wallet replace
    """

    async def work(cashier: Cashier) -> int:
        found = cashier.replaceable()
        units = sum(part.units for part in found.parts)
        if found.without_receipt_units:
            say(
                f"{found.without_receipt_units} units have no receipt here; an older copy of this home "
                "may have it"
            )
        if found.exchanged_units:
            say(f"{found.exchanged_units} units were exchanged, or came from others: they are gone")
        if units and not yes and not as_json:
            click.confirm(f"replace {units} units to the account?", abort=True)
        over = await cashier.replace()
        if as_json:
            from wallet import views

            click.echo(json.dumps({"over": [views.outcome(cashier.books, each) for each in over]}, indent=2))
            return 0 if all(each.state.phase is Phase.SETTLED for each in over) else 1
        codes = [
            finish(cashier, each, lambda view: f"replaced {view['amount']} units", as_json=False)
            for each in over
        ]
        return max(codes)

    context.exit(run(home, work, as_json=as_json))


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write the chain to this new file."
)
@home_option
@json_option
@click.pass_context
def statement(context: click.Context, out: Path | None, home: Path, as_json: bool) -> None:
    """
    Show the account's chain of statements, each signed by the bank, with what you signed yourself.

    It reads the newest ones from the bank if that can be reached. With --out the chain becomes a file that
    anyone can check, and set beside the bank's own: mixmint bank check-statement FILE [OTHER]. The file shows
    which coins you withdrew; it has no secret in it.

    Example: mixmint wallet statement --out chain.json
    """

    async def work(cashier: Cashier) -> int:
        from bank.chain.check import check
        from bank.chain.commands import show, write_out
        from wallet.statements import chain_of
        from wallet.statements_reading import read_statements

        try:
            await read_statements(cashier.teller)
        except UserError as error:
            say(f"not up to date: {error}")
        chain = chain_of(cashier.purse, cashier.books.bank)
        if not chain.statements:
            raise UserError("there is no statement yet; the bank's operator opens the account")
        write_out(out, chain)
        checked = check(chain, cashier.books.bank.keys)
        show(checked, out, as_json=as_json)
        return 1 if checked.fault else 0

    context.exit(run(home, work, as_json=as_json))
