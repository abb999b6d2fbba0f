"""``mixmint wallet withdraw`` and ``deposit``: between account and purse."""

from pathlib import Path

import click

from replyblocks.commands.options import home_option, json_option
from wallet.cashier import Cashier
from wallet.commands.running import amount_argument, finish, run


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
