"""``mixmint wallet pay``, ``receive`` and ``exchange``."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import click

from bank.formats.order import NOTHING
from replyblocks.commands.options import home_option, json_option
from replyblocks.terminal import preview
from wallet.bearer import MOST_FILE_BYTES, parse_bearer
from wallet.cashier import Cashier
from wallet.commands.churning import Span
from wallet.commands.running import file_option, finish, read_text, run, say
from wallet.machines.order import OrderState
from wallet.marks.mark import MOST_TEXT_BYTES
from wallet.notices.sealed import is_notice
from wallet.operations import PlanState
from wallet.outcome import Outcome
from wallet.payment_request import parse_uri

STATEMENT_CHARACTERS = 1000

out_option = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this new file (mode 0600)."
)
now_option = click.option("--now", is_flag=True, help="At once, with change: it links coins (see above).")


@click.command()
@file_option
@now_option
@click.option(
    "--note",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"A file with a note (at most {MOST_TEXT_BYTES} bytes) to bind into the order, hidden.",
)
@click.option(
    "--statement",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with a statement that the payee must relay to be paid. Brings --sealed.",
)
@click.option("--sealed", is_flag=True, help="Sign the payment and hand it to the payee, who submits it.")
@click.option(
    "--within", "within_s", type=Span(), help="Spread its orders over: 90s, 15m. Default: pay_spread_s."
)
@click.option("--bearer", type=click.IntRange(min=1), metavar="AMOUNT", help="Hand over coins in a file.")
@out_option
@home_option
@json_option
@click.pass_context
def pay(
    context: click.Context,
    file: Path | None,
    now: bool,
    note: Path | None,
    statement: Path | None,
    sealed: bool,
    within_s: float | None,
    bearer: int | None,
    out: Path | None,
    home: Path,
    as_json: bool,
) -> None:
    """
    Pay a payment request, from --file or standard input.

    Without --now, small standard exchanges make the exact coins first, at random times; then these pay, one
    by one, each by an order that looks like such an exchange. That takes longer and hides more. The first
    one shows that nobody else has paid; the others follow at random times, --within so long at most. What
    this command doesn't wait for goes with the agent, or your next commands (exit code 3 until then). With
    --now one order pays at once: all its coins are seen to belong together, and its change tells the amount.

    With --note a text is bound into the order. Nobody sees it, the bank neither; `prove` shows it to whom
    you like.

    Where the request asks for a hold, the bank keeps your coins and the payee is told; he captures them, or
    they come back. With --sealed or --statement the payee gets your signed order and submits it: whole, with
    the statement, or not at all. What he needs goes by his request's reply blocks, or into --out FILE.

    With --bearer, coins of exactly AMOUNT units are written to the file --out instead. Whoever has that
    file has the money, and so has everyone with a copy: the payee exchanges it at once.

    \b
    Example: mixmint wallet pay --file request.txt
    Example: mixmint wallet pay --file request.txt --statement rent.txt
    Example: mixmint wallet pay --bearer 5 --out coins.txt
    """
    if bearer is not None:
        if out is None or file is not None or note or statement or sealed or within_s is not None:
            raise click.UsageError("--bearer AMOUNT needs --out FILE, and takes only --now besides")
        context.exit(run(home, _hand_over(bearer, out, now=now, as_json=as_json), as_json=as_json))
    own_note = "" if note is None else read_text(note, "a note").strip()
    stated = "" if statement is None else read_text(statement, "a statement").strip()
    wanted = parse_uri(read_text(file, "the payment request"))
    if within_s is not None and (now or sealed or statement or wanted.is_hold):
        raise click.UsageError("--within spreads several orders; this payment is a single one")

    async def pay_request(cashier: Cashier) -> int:
        outcome = await cashier.pay(
            wanted,
            now=now,
            note=own_note,
            statement=stated,
            is_sealed=sealed or statement is not None,
            path=out,
            spread_s=within_s,
        )
        code = finish(cashier, outcome, lambda view: _paid_line(view, out), as_json=as_json)
        if code == 0 and not as_json and wanted.tau == NOTHING and not (sealed or statement):
            _say_what_showed(cashier, outcome, now=now)
        return code

    context.exit(run(home, pay_request, as_json=as_json))


def _hand_over(amount: int, out: Path, *, now: bool, as_json: bool) -> Callable[[Cashier], Awaitable[int]]:
    async def hand_over(cashier: Cashier) -> int:
        outcome = await cashier.hand_over(amount, out, now=now)
        return finish(
            cashier,
            outcome,
            lambda view: f"wrote {view['amount']} units to {out}; whoever has the file has the money",
            as_json=as_json,
        )

    return hand_over


def _paid_line(view: dict[str, Any], out: Path | None) -> str:
    where = f"the payee finds it in {out}" if out else "the payee is told"
    if view["state"] == "held":
        return f"{view['amount']} units are held until round {view['until_round']}; {where}"
    if view["state"] == "handed over":
        return f"signed a payment of {view['amount']} units; {where}, and submits it"
    return f"paid {view['amount']} units, settled in round {view['round']}"


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
    Take what a payer gave you in FILE (- for standard input): bearer coins, or a sealed payment.

    Bearer coins are exchanged for fresh ones, at once; until that is done you have a promise, no more. A coin
    that was spent before is refused with the proof: the earlier order's seal, signed by the coin's own key.
    The proof doesn't tell who spent it. A sealed payment is submitted as it is, with its statement.

    Example: mixmint wallet receive coins.txt
    """
    text = read_text(None if str(file) == "-" else file, "what the payer gave you", MOST_FILE_BYTES)
    if is_notice(text):
        context.exit(run(home, _take(text, as_json=as_json), as_json=as_json))
    bearer = parse_bearer(text)

    async def work(cashier: Cashier) -> int:
        outcome = await cashier.receive(bearer)
        return finish(
            cashier,
            outcome,
            lambda view: f"received {view['units']} of {view['amount']} units",
            as_json=as_json,
        )

    context.exit(run(home, work, as_json=as_json))


def _take(text: str, *, as_json: bool) -> Callable[[Cashier], Awaitable[int]]:
    async def take(cashier: Cashier) -> int:
        outcome = await cashier.take(text)
        row = outcome.state.parent if isinstance(outcome.state, OrderState) else 0
        statement = cashier.payee.statement(row)
        code = finish(
            cashier,
            outcome,
            lambda view: f"received {view['amount']} units for request {row}",
            as_json=as_json,
            statement=statement,
            request=row,
        )
        if statement and not as_json:
            say(f"with the statement: {preview(statement, STATEMENT_CHARACTERS)}")
        return code

    return take


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
