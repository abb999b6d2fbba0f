"""``mixmint wallet request``, ``cancel``, ``refund`` and ``ask-refund``: the payee asks, and pays back."""

import io
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click

from mixmint.errors import UserError
from mixmint.keys import write_new, write_secret
from replyblocks.commands.options import home_option, json_option
from replyblocks.member import unlock_home
from wallet.cashier import Cashier
from wallet.commands.running import amount_argument, file_option, finish, open_and, read_text, run, say
from wallet.notices.sealed import is_notice
from wallet.payment_request import MOST_NOTE_BYTES, parse_uri

LOOK_PAUSE_S = 1.0
_QR_KINDS = ("svg", "png")

operation_argument = click.argument("operation", type=click.IntRange(min=1))
"""OPERATION: its number in `mixmint wallet history`."""


@click.command()
@amount_argument
@click.option(
    "--note-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"A note for the payer, at most {MOST_NOTE_BYTES} bytes; - for standard input.",
)
@click.option("--rounds", type=click.IntRange(min=1), help="How many rounds of the board it can be paid.")
@click.option("--hold", is_flag=True, help="The coins are only kept, until you capture them. Brings --reply.")
@click.option("--reply", is_flag=True, help="With reply blocks: its payer can send you something back.")
@click.option("--wait", is_flag=True, help="Wait until it is paid (or over).")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the request to this new file (mode 0600).",
)
@click.option(
    "--qr",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a QR code to this new file, .svg or .png.",
)
@home_option
@json_option
@click.pass_context
def request(
    context: click.Context,
    amount: int,
    note_file: Path | None,
    rounds: int | None,
    hold: bool,
    reply: bool,
    wait: bool,
    out: Path | None,
    qr: Path | None,
    home: Path,
    as_json: bool,
) -> None:
    """
    Ask for AMOUNT units: prints a payment request to give to the payer.

    It is used once. Nobody who sees it can take the money; but whoever pays it recognises the coins, so
    they are exchanged before you use them.

    With --hold the payer's coins are kept for you, and you take them later (`capture`) or let them go
    (`release`). With --reply the request is longer, and its payer can answer without learning who you are:
    with the hold, a sealed payment, or where a refund should go.

    \b
    Example: mixmint wallet request 13 --note-file note.txt --out request.txt
    Example: mixmint wallet request 200 --hold --qr request.svg
    """
    note = "" if note_file is None else read_text(None if str(note_file) == "-" else note_file, "a note")
    for file in (out, qr):
        if file is not None and file.exists():
            raise UserError(f"{file} exists already; choose another file")
    if qr is not None and qr.suffix.lower().removeprefix(".") not in _QR_KINDS:
        raise click.UsageError("--qr FILE ends with .svg or .png")

    async def work(cashier: Cashier) -> tuple[int, str]:
        row, made = await cashier.request(amount, note.strip(), rounds, hold=hold, reply=reply or hold)
        uri = made.uri()
        if out is not None:
            write_secret(out, uri.encode() + b"\n")
        if qr is not None:
            write_new(qr, qr_code(uri, qr.suffix.lower().removeprefix(".")), mode=0o600)
        if as_json and not wait:
            view = {"operation": row, "uri": uri, "units": made.units, "last_round": made.last_round}
            click.echo(json.dumps(view | {"hold": made.is_hold}, indent=2))
        elif not as_json:
            _show_request(uri, out, qr)
            say(f"asks for {made.units} units, until round {made.last_round} of the board (operation {row})")
        return row, uri

    row, uri = run(home, work, as_json=as_json)
    if wait:
        context.exit(wait_for(home, row, uri, as_json=as_json))


def qr_code(uri: str, kind: str) -> bytes:
    """A picture's bytes; ``kind``: svg or png."""
    import segno

    picture = io.BytesIO()
    segno.make(uri, error="l").save(picture, kind=kind, scale=4, border=4)
    return picture.getvalue()


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

    # A passphrase is asked for once, not at each look.
    key = unlock_home(home)
    trouble = ""
    while True:
        try:
            code = open_and(home, look, as_json=True, key=key)
        except UserError as error:
            # The board is away, or another command takes long: the request is on file, and can wait.
            if str(error) != trouble:
                trouble = str(error)
                say(f"{trouble}; still waiting")
            code = None
        if code is not None:
            return code
        time.sleep(LOOK_PAUSE_S)


def _show_request(uri: str, out: Path | None, qr: Path | None) -> None:
    if qr is not None:
        click.echo(f"wrote the QR code to {qr}")
    if out is not None:
        click.echo(f"wrote the payment request to {out}")
        return
    if sys.stdout.isatty() and qr is None:
        import segno

        code = segno.make(uri, error="l")
        if code.symbol_size()[0] <= shutil.get_terminal_size().columns:
            code.terminal(compact=True)
        else:
            say("the QR code is too wide for this terminal; --qr FILE writes it as a picture")
    click.echo(uri)


@click.command()
@operation_argument
@home_option
@json_option
@click.pass_context
def cancel(context: click.Context, operation: int, home: Path, as_json: bool) -> None:
    """
    Cancel a request of yours, or take back a sealed payment of yours that nobody has submitted.

    A cancelled request is shown as over; what comes for it all the same is yours, is shown, and can be paid
    back. Taking back is a race: if the payee submits the payment first, he has the money.

    Example: mixmint wallet cancel 7
    """

    async def work(cashier: Cashier) -> int:
        outcome = await cashier.cancel(operation)
        return finish(cashier, outcome, lambda view: _cancelled_line(operation, view), as_json=as_json)

    context.exit(run(home, work, as_json=as_json))


def _cancelled_line(operation: int, view: dict[str, Any]) -> str:
    if view["kind"] == "request":
        return f"request {operation} is {view['state']}"
    if view["operation"] == operation:
        return f"payment {operation} is {view['state']}"
    return f"took back {view['units']} units of payment {operation}, settled in round {view['round']}"


@click.command()
@operation_argument
@file_option
@click.option("--now", is_flag=True, help="At once, with change, as with `pay --now`.")
@home_option
@json_option
@click.pass_context
def refund(
    context: click.Context, operation: int, file: Path | None, now: bool, home: Path, as_json: bool
) -> None:
    """
    Pay back what came for your request OPERATION, to a payment request of its payer's.

    It comes by the request's reply blocks or in --file, from his `ask-refund`: both show that he paid, and
    nobody else can make one. --file may also be a plain payment request, and then you must know whose it is.
    Never more is paid back than came; `history` shows both sides.

    Example: mixmint wallet refund 7 --file refund-request.txt
    """
    text = None if file is None else read_text(file, "the payer's request")
    to = None if text is None or is_notice(text) else parse_uri(text)

    async def work(cashier: Cashier) -> int:
        outcome = await cashier.refund(operation, to, now=now, text=None if to else text)
        return finish(
            cashier,
            outcome,
            lambda view: f"paid back {view['amount']} units, settled in round {view['round']}",
            as_json=as_json,
        )

    context.exit(run(home, work, as_json=as_json))


@click.command(name="ask-refund")
@operation_argument
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it to a new file for him."
)
@home_option
@json_option
def ask_refund(operation: int, out: Path | None, home: Path, as_json: bool) -> None:
    """
    Ask for your payment OPERATION back: tells its payee where to pay, and shows him that you paid.

    It goes by the reply blocks of his request, so neither of you learns who the other is; he decides. Where
    the request has none, or none is left, write it to a file for him: --out.

    Example: mixmint wallet ask-refund 9
    """

    async def work(cashier: Cashier) -> None:
        made = await cashier.ask_refund(operation, out)
        view: dict[str, object] = {
            "operation": operation,
            "units": made.units,
            "last_round": made.last_round,
        }
        if out is not None:
            view["out"] = str(out)
        if as_json:
            click.echo(json.dumps(view, indent=2))
        else:
            way = f" in {out}" if out is not None else ""
            click.echo(f"asked for {made.units} units back{way}, until round {made.last_round} of the board")

    run(home, work, as_json=as_json)
