"""``mixmint wallet init`` and ``resume``."""

import json
from pathlib import Path

import click

from mixmint.errors import PendingError, Unavailable
from replyblocks.commands.options import home_option, json_option
from wallet.cashier import Cashier
from wallet.commands.running import many, open_and, sentence
from wallet.outcome import Unfinished


@click.command()
@home_option
@click.option("--network", type=click.Path(path_type=Path, dir_okay=False), help="The network file.")
@click.option("--gateway", help="The gateway that takes in and keeps your packets.")
@json_option
def init(home: Path, network: Path | None, gateway: str | None, as_json: bool) -> None:
    """
    Make a wallet, and print its account's public key for the bank's operator.

    --network and --gateway are needed unless the home has a member already (`mixmint address --create`).

    Example: mixmint wallet init --network network.toml --gateway g1
    """
    from wallet.session import create_wallet

    purse = create_wallet(home, network, gateway)
    key = purse.account().public.hex()
    purse.close()
    if as_json:
        click.echo(json.dumps({"home": str(home), "account": key}, indent=2))
        return
    click.echo(f"made a wallet in {home}")
    click.echo(f"account key: {key}")
    click.echo("give this key to the bank's operator (bank account open, bank account credit), then withdraw")
    click.echo(
        "write your 24 words down, on paper: mixmint wallet words. Nothing else brings lost coins back"
    )


@click.command()
@home_option
@json_option
def resume(home: Path, as_json: bool) -> None:
    """
    Go on with everything that is unfinished, and look at the board.

    Run it after exit code 3, or to see whether a payment request was paid.

    Example: mixmint wallet resume
    """

    async def work(cashier: Cashier) -> None:
        from wallet import views
        from wallet.teller import PENDING

        unfinished: Unfinished | None = None
        try:
            over = await cashier.resume()
        except Unfinished as error:
            over, unfinished = error.over, error
        except Unavailable as error:
            if not cashier.undecided():
                raise
            raise PendingError(f"{error}; {PENDING}") from None
        shown = [views.outcome(cashier.books, outcome) for outcome in over]
        still_open = len(cashier.purse.open_operations())
        if as_json:
            click.echo(json.dumps({"over": shown, "open": still_open}, indent=2))
        else:
            for outcome in over:
                click.echo(sentence(cashier, outcome))
            waiting = views.incoming(cashier.purse)
            if waiting:
                click.echo(f"payment requests wait for {waiting} units")
            if not over and not still_open:
                click.echo("nothing was unfinished")
            elif not over and not waiting and unfinished is None:
                click.echo(f"{many(still_open, 'operation')} under way; see `mixmint wallet history --all`")
        if unfinished is not None:
            raise unfinished

    open_and(home, work, as_json=as_json)
