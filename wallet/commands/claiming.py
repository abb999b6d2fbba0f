"""``mixmint wallet claim``: put on the board now what the bank leaves unanswered."""

from pathlib import Path

import click

from replyblocks.commands.options import home_option, json_option
from wallet.cashier import Cashier
from wallet.commands.asking import operation_argument
from wallet.commands.running import finish, run


@click.command()
@operation_argument
@home_option
@json_option
@click.pass_context
def claim(context: click.Context, operation: int, home: Path, as_json: bool) -> None:
    """
    Put OPERATION on the board as a claim, if the bank doesn't answer it.

    Everyone will see which coins go in and which come out. The bank must answer on the board within the
    rounds that its terms name; else the board itself proves that it didn't. What comes of it is exchanged
    once more. The wallet claims by itself after a while; with `claims = false` in wallet.toml it doesn't.

    Example: mixmint wallet claim 7
    """

    async def work(cashier: Cashier) -> int:
        outcome = await cashier.claim(operation)
        return finish(
            cashier,
            outcome,
            lambda view: f"{view['kind']} of {view['amount']} units {view['state']}",
            as_json=as_json,
        )

    context.exit(run(home, work, as_json=as_json))
