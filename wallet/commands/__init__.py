"""``mixmint wallet``: the member's commands."""

import click

from wallet.commands.account import deposit, withdraw
from wallet.commands.churning import churn
from wallet.commands.looking import balance, coins, history
from wallet.commands.paying import exchange, pay, receive, request, verify_proof
from wallet.commands.setup import init, resume

_GROUP_HELP = """
Anonymous cash.

\b
Exit codes: 0 done; 1 it failed and nothing happened; 2 wrong usage;
3 the outcome isn't known yet: run `mixmint wallet resume`.

Every command first goes on with what an earlier one left unfinished.
"""


@click.group(help=_GROUP_HELP)
def wallet() -> None:
    pass


for _command in (
    init,
    balance,
    coins,
    withdraw,
    exchange,
    churn,
    request,
    pay,
    receive,
    deposit,
    history,
    resume,
    verify_proof,
):
    wallet.add_command(_command)

__all__ = ["wallet"]
