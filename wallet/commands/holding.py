"""``mixmint wallet capture`` and ``release``: a payee takes what is held for him, or lets it go."""

from pathlib import Path

import click

from mixmint.errors import UserError
from replyblocks.commands.options import home_option, json_option
from wallet.cashier import Cashier
from wallet.commands.asking import operation_argument
from wallet.commands.running import file_option, finish, read_text, run, say
from wallet.payment_views import hold_until


@click.command()
@operation_argument
@file_option
@home_option
@json_option
@click.pass_context
def capture(context: click.Context, operation: int, file: Path | None, home: Path, as_json: bool) -> None:
    """
    Take the money that is held for your request OPERATION.

    The hold came by the request's reply blocks, or is in --file. Until its last round the bank gives the
    coins to nobody else; later it may still work, if the payer hasn't taken them back.

    Example: mixmint wallet capture 7
    """
    text = None if file is None else read_text(file, "the payer's notice")

    async def work(cashier: Cashier) -> int:
        outcome = await cashier.capture(operation, text)
        return finish(
            cashier,
            outcome,
            lambda view: f"captured {view['amount']} units, settled in round {view['round']}",
            as_json=as_json,
        )

    context.exit(run(home, work, as_json=as_json))


@click.command()
@operation_argument
@home_option
@json_option
@click.pass_context
def release(context: click.Context, operation: int, home: Path, as_json: bool) -> None:
    """
    Let go of what is held for your request OPERATION, or of the request before a hold came.

    Nobody is told: the payer's coins are his again when the hold ends, and his wallet exchanges them then.

    Example: mixmint wallet release 7
    """

    async def work(cashier: Cashier) -> int:
        state = cashier.payee.invoice(operation)
        if not state.opened().is_hold:
            raise UserError(f"request {operation} asks for no hold; mixmint wallet cancel {operation}")
        outcome = await cashier.cancel(operation)
        until = hold_until(cashier.payee.invoice(operation))
        code = finish(cashier, outcome, lambda _: f"released request {operation}", as_json=as_json)
        if until and not as_json:
            say(f"the bank keeps the payer's coins until round {until}")
        return code

    context.exit(run(home, work, as_json=as_json))
