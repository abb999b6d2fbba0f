"""``mixmint wallet balance``, ``coins`` and ``history``."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bank.ledger.terms import Terms
from replyblocks.commands.options import home_option, json_option
from replyblocks.terminal import preview
from wallet.cashier import Cashier
from wallet.commands.running import NOTE_CHARACTERS, look, many, say
from wallet.operations import is_wish
from wallet.outcome import Outcome

if TYPE_CHECKING:
    from rich.table import Table


@click.command()
@home_option
@json_option
def balance(home: Path, as_json: bool) -> None:
    """
    Show how many units there are, and where.

    free: yours, on the board. pending: under way, outcome not known yet. kept: in holds and sealed payments
    that a payee may take. incoming: asked for by open payment requests. handed over: in bearer files that
    nobody has exchanged yet. account: at the bank, by its last statement that this wallet has read and
    verified.

    Below stand the weakest of the two figures that `wallet coins` shows for each free coin.

    Example: mixmint wallet balance
    """

    async def work(cashier: Cashier) -> None:
        from wallet import views

        view = views.balance(cashier.books)
        if as_json:
            click.echo(json.dumps(view, indent=2))
            return
        table = _table("", "units", "")
        for name in ("free", "pending", "kept", "incoming", "handed_over", "lost", "disputed", "expired"):
            if view[name] or name in ("free", "pending", "incoming"):
                table.add_row(name.replace("_", " "), f"{view[name]:,}", "")
        account = view["account"]
        known = account["balance"] is not None
        text = f"as of statement {account['statement']}" if known else "not read yet: withdraw reads it"
        table.add_row("account", f"{account['balance']:,}" if known else "?", text)
        _print(table)
        for line in _of_anonymity(view["anonymity"]):
            say(line)
        for line in _of_age(cashier):
            say(line)
        if view["evidence"]:
            say(f"{view['evidence']} file(s) in {home / 'evidence'} prove that the bank broke a rule")

    look(home, work)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also coins that are spent or never came.")
@home_option
@json_option
def coins(everything: bool, home: Path, as_json: bool) -> None:
    """
    Show each coin: its value, its state, and how well it hides.

    public: it is one of at most so many unspent coins of its value and epoch on the board ("?": the bank
    hasn't stated them since you began to read). own: how often you exchanged it yourself, against the bank,
    which sees which coin turned into which; 0 means that it knows where the coin came from. beside: so many
    coins of its value its round certified; whoever knew the coin before knows that it is one of these.
    docs/anonymity.md says what these figures mean, and what they don't.

    A coin marked "recognised" came by a payment request: its payer would know it again. It is exchanged
    before it is used, unless you pay with --now.

    life ends: from that day on a coin can only be exchanged, for the bank's grace; commands that pay, and the
    agent, renew it before. An expired coin is no money any more (`mixmint wallet replace`).

    Example: mixmint wallet coins
    """

    async def work(cashier: Cashier) -> None:
        from wallet import views

        rows = views.coin_rows(cashier.books, everything=everything)
        if as_json:
            click.echo(json.dumps({"coins": rows}, indent=2))
            return
        names = ("coin", "units", "state", "public", "own", "beside", "life ends", "")
        table = _table(*names, right=(1, 3, 4, 5))
        for row in rows:
            table.add_row(
                row["coin"][:10],
                f"{row['units']:,}",
                row["state"],
                "?" if row["public"] is None else f"1 of {row['public']:,}",
                str(row["exchanges"]),
                str(row["beside"] or ""),
                row["until"] or "",
                "recognised" if row["recognisable"] else "",
            )
        _print(table)
        for line in [*_of_anonymity(views.anonymity(cashier.books)), *_of_age(cashier)]:
            say(line)

    look(home, work)


def _of_age(cashier: Cashier) -> list[str]:
    """What there is to warn of about coins that grow old."""
    from wallet.expiry import warnings

    terms = cashier.books.terms()
    if terms is None:
        return []
    return warnings(list(cashier.purse.coins().values()), Terms.of(terms), time.time())


def _of_anonymity(view: dict[str, Any]) -> list[str]:
    """What there is to say, and to warn of, about the free coins."""
    if not view["coins"]:
        return []
    weakest = "?" if view["public"] is None else f"1 of at most {view['public']:,}"
    lines = [f"how well the free coins hide, at the weakest: for the public {weakest}; "]
    lines[0] += f"against the bank {many(view['exchanges'], 'own exchange')}"
    if view["tiny"]:
        lines.append(
            f"{many(view['tiny'], 'coin')} in a tiny set: of that value and epoch hardly any others are on "
            "the board, and exchanging alone doesn't change that"
        )
    if view["fresh"]:
        lines.append(
            f"{many(view['fresh'], 'coin')} never exchanged by you: the bank knows where from; "
            "`mixmint wallet churn` exchanges them at random times"
        )
    return lines


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also the single orders of each operation.")
@home_option
@json_option
def history(everything: bool, home: Path, as_json: bool) -> None:
    """
    Show what was done, the oldest first. With --json, each payment with its receipt.

    The receipt is the opening of the order: with it you can show anyone what you paid, and the board shows
    that it was done. It also shows your coins, so keep it to yourself until you need it.

    Example: mixmint wallet history
    """

    async def work(cashier: Cashier) -> None:
        rows = _history(cashier, everything=everything)
        if as_json:
            click.echo(json.dumps({"operations": rows}, indent=2))
            return
        table = _table("#", "when", "what", "units", "state", "round", "note", right=(0, 3, 5))
        for row in rows:
            table.add_row(
                str(row["operation"]),
                row["made"][:10],
                row["kind"],
                f"{row['amount']:,}",
                row["state"],
                str(row["round"] or ""),
                preview(remark(row), NOTE_CHARACTERS),
            )
        _print(table)

    look(home, work)


def remark(row: dict[str, Any]) -> str:
    """A refund and its request are shown by each other."""
    text: str = row.get("note") or row.get("meaning", "")
    if row["kind"] == "request" and row["refunded"]:
        return f"{row['refunded']:,} paid back; {text}" if text else f"{row['refunded']:,} paid back"
    if row["kind"] != "request" and row.get("refunds"):
        return f"pays back {row['refunds']}; {text}" if text else f"pays back {row['refunds']}"
    return text


def _history(cashier: Cashier, *, everything: bool) -> list[dict[str, Any]]:
    from wallet import views

    rows = []
    for row, stored in cashier.purse.operations().items():
        if everything or is_wish(stored.state):
            view = views.outcome(cashier.books, Outcome(row, stored.state, cashier.proofs(row)))
            made = datetime.fromtimestamp(stored.made_s, UTC).isoformat()
            rows.append(view | {"made": made})
    return rows


def _table(*columns: str, right: tuple[int, ...] = (1,)) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number in right else "left", overflow="fold")
    return table


def _print(table: "Table") -> None:
    from rich.console import Console

    Console(markup=False, highlight=False).print(table)
