"""``mixmint wallet request``, ``pay``, ``receive``, ``exchange`` and ``verify-proof``."""

import json
import sys
import time
from pathlib import Path

import click

from mixmint.errors import UserError
from mixmint.keys import write_secret
from replyblocks.commands.options import home_option, json_option
from wallet.bearer import parse_bearer, read_bearer
from wallet.cashier import Cashier, Outcome
from wallet.commands.running import amount_argument, finish, open_and, read_text, run, say
from wallet.machines.order import OrderState
from wallet.operations import PlanState
from wallet.payment_request import MOST_NOTE_BYTES, parse_uri

LOOK_PAUSE_S = 1.0

out_option = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this new file (mode 0600)."
)
now_option = click.option("--now", is_flag=True, help="At once, with change: it links coins (see above).")


@click.command()
@amount_argument
@click.option(
    "--note-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"A note for the payer, at most {MOST_NOTE_BYTES} bytes; - for standard input.",
)
@click.option("--rounds", type=click.IntRange(min=1), help="How many rounds of the board it can be paid.")
@click.option("--wait", is_flag=True, help="Wait until it is paid (or over).")
@out_option
@home_option
@json_option
@click.pass_context
def request(
    context: click.Context,
    amount: int,
    note_file: Path | None,
    rounds: int | None,
    wait: bool,
    out: Path | None,
    home: Path,
    as_json: bool,
) -> None:
    """
    Ask for AMOUNT units: prints a payment request to give to the payer.

    It is used once. Nobody who sees it can take the money; but whoever pays it recognises the coins, so
    they are exchanged before you use them.

    Example: mixmint wallet request 13 --note-file note.txt --out request.txt
    """
    note = "" if note_file is None else read_text(None if str(note_file) == "-" else note_file, "a note")
    if out is not None and out.exists():
        raise UserError(f"{out} exists already; choose another file")

    async def work(cashier: Cashier) -> tuple[int, str]:
        row, made = await cashier.request(amount, note.strip(), rounds)
        uri = made.uri()
        if out is not None:
            write_secret(out, uri.encode() + b"\n")
        if as_json and not wait:
            view = {"operation": row, "uri": uri, "units": made.units, "last_round": made.last_round}
            click.echo(json.dumps(view, indent=2))
        elif not as_json:
            _show_request(uri, out)
            say(f"asks for {made.units} units, until round {made.last_round} of the board")
        return row, uri

    row, uri = run(home, work, as_json=as_json)
    if wait:
        context.exit(wait_for(home, row, uri, as_json=as_json))


def wait_for(home: Path, row: int, uri: str, *, as_json: bool) -> int:
    """
    Look at the board again and again until the request is over; the exit code.

    The home is opened anew for each look, so that other commands can use it in between.
    """

    async def look(cashier: Cashier) -> int | None:
        outcome = await cashier.look_for(row)
        if outcome is None:
            return None
        return finish(
            cashier,
            outcome,
            lambda view: f"{view['state']}: {view['arrived']} of {view['amount']} units",
            as_json=as_json,
            uri=uri,
        )

    trouble = ""
    while True:
        try:
            code = open_and(home, look, as_json=True)
        except UserError as error:
            # The board is away, or another command takes long: the request is on file, and can wait.
            if str(error) != trouble:
                trouble = str(error)
                say(f"{trouble}; still waiting")
            code = None
        if code is not None:
            return code
        time.sleep(LOOK_PAUSE_S)


def _show_request(uri: str, out: Path | None) -> None:
    if out is not None:
        click.echo(f"wrote the payment request to {out}")
        return
    if sys.stdout.isatty():
        import segno

        segno.make(uri, error="l").terminal(compact=True)
    click.echo(uri)


@click.command()
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="The file with the request.")
@now_option
@click.option("--bearer", type=click.IntRange(min=1), metavar="AMOUNT", help="Hand over coins in a file.")
@out_option
@home_option
@json_option
@click.pass_context
def pay(
    context: click.Context,
    file: Path | None,
    now: bool,
    bearer: int | None,
    out: Path | None,
    home: Path,
    as_json: bool,
) -> None:
    """
    Pay a payment request, from --file or standard input.

    Without --now, small standard exchanges make the exact coins first, at random times; then these pay.
    That takes longer and hides more. With --now one order pays at once: all its coins are seen to belong
    together, and its change tells the amount.

    With --bearer, coins of exactly AMOUNT units are written to the file --out instead. Whoever has that
    file has the money, and so has everyone with a copy: the payee exchanges it at once.

    \b
    Example: mixmint wallet pay --file request.txt
    Example: mixmint wallet pay --bearer 5 --out coins.txt
    """
    if bearer is None:
        if out is not None:
            raise click.UsageError("--out belongs to --bearer AMOUNT")
        wanted = parse_uri(read_text(file, "the payment request"))
    elif out is None or file is not None:
        raise click.UsageError("--bearer AMOUNT needs --out FILE, and no --file")

    async def hand_over(cashier: Cashier) -> int:
        outcome = await cashier.hand_over(bearer or 0, out or Path(), now=now)
        return finish(
            cashier,
            outcome,
            lambda view: f"wrote {view['amount']} units to {out}; whoever has the file has the money",
            as_json=as_json,
        )

    async def pay_request(cashier: Cashier) -> int:
        outcome = await cashier.pay(wanted, now=now)
        code = finish(
            cashier,
            outcome,
            lambda view: f"paid {view['amount']} units, settled in round {view['round']}",
            as_json=as_json,
        )
        if code == 0 and not as_json:
            _say_what_showed(cashier, outcome, now=now)
        return code

    context.exit(run(home, pay_request if bearer is None else hand_over, as_json=as_json))


def _say_what_showed(cashier: Cashier, outcome: Outcome, *, now: bool) -> None:
    """What the paying order gave away."""
    plan = outcome.state
    order = cashier.purse.operation(plan.last) if isinstance(plan, PlanState) else None
    if not isinstance(order, OrderState):
        return
    coins, change = len(order.order.inputs), len(order.mine)
    if change:
        say(f"the bank saw {coins} coin(s) spent together, and {change} of change: it knows the amount")
    elif now:
        say(f"the bank saw {coins} coin(s) spent together; there was no change")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@home_option
@json_option
@click.pass_context
def receive(context: click.Context, file: Path, home: Path, as_json: bool) -> None:
    """
    Exchange the coins in a bearer FILE (- for standard input) for fresh ones, at once.

    Until that is done you have a promise, no more. A coin that was spent before is refused with the proof:
    the earlier order's seal, signed by the coin's own key. The proof doesn't tell who spent it.

    Example: mixmint wallet receive coins.txt
    """
    is_stdin = str(file) == "-"
    bearer = parse_bearer(read_text(None, "the bearer coins")) if is_stdin else read_bearer(file)

    async def work(cashier: Cashier) -> int:
        outcome = await cashier.receive(bearer)
        return finish(
            cashier,
            outcome,
            lambda view: f"received {view['units']} of {view['amount']} units",
            as_json=as_json,
        )

    context.exit(run(home, work, as_json=as_json))


@click.command()
@click.argument("amount", type=click.IntRange(min=1), required=False)
@home_option
@json_option
@click.pass_context
def exchange(context: click.Context, amount: int | None, home: Path, as_json: bool) -> None:
    """
    Exchange coins for fresh ones of the same values: all of them, or those that make up AMOUNT.

    Each exchange makes it harder, for the bank too, to tell where a coin came from.

    Example: mixmint wallet exchange
    """

    async def work(cashier: Cashier) -> int:
        outcome = await cashier.exchange(amount)
        return finish(cashier, outcome, lambda view: f"exchanged {view['units']} units", as_json=as_json)

    context.exit(run(home, work, as_json=as_json))


@click.command(name="verify-proof")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@json_option
@click.pass_context
def verify_proof(context: click.Context, file: Path, as_json: bool) -> None:
    """
    Check offline that the coins in FILE (- for standard input) were spent before, as `receive --json` says.

    Exit code 0 when every proof holds, 1 when one doesn't.

    Example: mixmint wallet receive coins.txt --json > refusal.json; mixmint wallet verify-proof refusal.json
    """
    from wallet.proof import read_proofs

    text = read_text(None if str(file) == "-" else file, "a proof")
    proofs = read_proofs(text.encode())
    holds = all(proof.holds() for proof in proofs)
    if as_json:
        click.echo(json.dumps({"holds": holds, "proofs": [proof.view() for proof in proofs]}, indent=2))
    else:
        for proof in proofs:
            verdict = "was spent: the proof holds" if proof.holds() else "the proof does NOT hold"
            click.echo(f"coin {proof.coin.hex()}: {verdict}")
    context.exit(0 if holds else 1)
