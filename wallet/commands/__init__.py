"""``mixmint wallet``: the member's commands."""

import click

from wallet.commands.account import deposit, replace, statement, withdraw
from wallet.commands.asking import ask_refund, cancel, refund, request
from wallet.commands.backing_up import backup, passphrase, words
from wallet.commands.churning import churn
from wallet.commands.claiming import claim
from wallet.commands.holding import capture, release
from wallet.commands.looking import balance, coins, history
from wallet.commands.paying import exchange, pay, receive
from wallet.commands.proving import check_proof, prove, verify_proof
from wallet.commands.restoring import restore
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
    cancel,
    capture,
    release,
    refund,
    pay,
    ask_refund,
    prove,
    receive,
    deposit,
    replace,
    statement,
    history,
    resume,
    claim,
    words,
    passphrase,
    backup,
    restore,
    check_proof,
    verify_proof,
):
    wallet.add_command(_command)

__all__ = ["wallet"]
