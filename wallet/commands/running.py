"""How a command runs: open the wallet, go on with what was unfinished, do the work, say what came of it."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mixmint.errors import Unavailable, UserError
from mixmint.terminal import fitted, width
from replyblocks.terminal import preview

if TYPE_CHECKING:
    from wallet.cashier import Cashier
    from wallet.outcome import Outcome

T = TypeVar("T")

NOTE_CHARACTERS = 60
MOST_TEXT_BYTES = 65_536
LOOKING_WAITS_S = 5.0
"""A command that only looks waits no longer for what an earlier one left unfinished."""


def run(home: Path, work: "Callable[[Cashier], Awaitable[T]]", *, as_json: bool) -> T:
    """Open the wallet in ``home``, resume, then do ``work``; a line for each event, unless ``as_json``."""

    async def acting() -> T:
        from wallet.session import open_wallet  # the network's libraries, loaded only when something runs

        async with open_wallet(home, _quiet if as_json else say) as cashier:
            await resume_first(cashier)
            await renew_first(cashier)
            result = await work(cashier)
            await renew_due(cashier)
            return result

    return asyncio.run(acting())


def look(home: Path, work: "Callable[[Cashier], Awaitable[T]]") -> T:
    """
    Open the wallet in ``home``, bring it up to date as far as that goes quickly, then do ``work``, which
    needs no network.
    """

    async def looking() -> T:
        from wallet.session import open_wallet

        async with open_wallet(home, warn=say) as cashier:
            try:
                with cashier.teller.hurry(LOOKING_WAITS_S):
                    await resume_first(cashier)
            except Unavailable as error:
                say(f"not up to date: {error}")
            return await work(cashier)

    return asyncio.run(looking())


def _quiet(_: str) -> None:
    """Programs get their JSON, and nothing else."""


def open_and(
    home: Path, work: "Callable[[Cashier], Awaitable[T]]", *, as_json: bool, key: bytes | None = None
) -> T:
    """
    Open the wallet and do ``work``, which resumes by itself. ``key``: of a home that is unlocked already, for
    a command that opens it again and again.
    """

    async def plain() -> T:
        from wallet.session import open_wallet

        async with open_wallet(home, _quiet if as_json else say, key=key) as cashier:
            return await work(cashier)

    return asyncio.run(plain())


async def resume_first(cashier: "Cashier") -> None:
    """Go on with what is open; what stays pending is said, and holds up nothing else."""
    from wallet.outcome import Unfinished

    try:
        over = await cashier.resume()
    except Unfinished as error:
        over = error.over
        say(f"an earlier operation is still pending: {error}")
    for outcome in over:
        say(f"meanwhile: {sentence(cashier, outcome)}")


async def renew_first(cashier: "Cashier") -> None:
    """Coins in their grace are exchanged before anything else: they are lost when it ends."""
    await _renew(cashier, cashier.renewals().first, spread_s=0.0)


async def renew_due(cashier: "Cashier") -> None:
    """A few coins whose time has come, after the command's own work; without an agent nobody else does it."""
    await _renew(cashier, cashier.renewals().now, spread_s=cashier.stock_wait_s)


async def _renew(cashier: "Cashier", rows: "tuple[int, ...]", spread_s: float) -> None:
    try:
        if rows:
            await cashier.renew(rows, spread_s=spread_s)
    except UserError as error:
        # What the member asked for doesn't wait for it; the next command goes on.
        say(f"coins are being renewed ahead of their expiry: {error}")


def say(text: str) -> None:
    """A line for the person, beside the command's own output."""
    click.echo(fitted(f"mixmint: {text}", width(sys.stderr)), err=True)


def many(count: int, what: str) -> str:
    """``1 coin``, ``2 coins``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def sentence(cashier: "Cashier", outcome: "Outcome") -> str:
    """One operation's outcome, in a line."""
    from wallet import views

    view = views.outcome(cashier.books, outcome)
    note = f" ({preview(view['note'], NOTE_CHARACTERS)})" if view.get("note") else ""
    settled = "" if view["state"] == "settled" else ", settled"
    where = f"{settled} in round {view['round']}" if view["round"] else ""
    why = f": {view['meaning']}" if "meaning" in view else ""
    units = view.get("units", view["amount"]) or view["amount"]
    return f"{view['kind']} of {units} units {view['state']}{note}{where}{why}"


def finish(
    cashier: "Cashier",
    outcome: "Outcome",
    text: Callable[[dict[str, Any]], str],
    *,
    as_json: bool,
    **more: Any,
) -> int:
    """Print what came of it; the exit code. ``text`` makes the line for success from the view."""
    from wallet import views
    from wallet.payment_views import PARTLY_PAID

    view = views.outcome(cashier.books, outcome) | more
    failed = view["state"] in ("refused", "expired", PARTLY_PAID)
    if as_json:
        click.echo(json.dumps(view, indent=2))
    elif not failed:
        click.echo(text(view))
    if "proofs" in view and not as_json:
        _print_proofs(view["proofs"])
    if failed or "meaning" in view:
        say(view.get("meaning") or text(view))
    return 1 if failed else 0


def _print_proofs(proofs: list[dict[str, Any]]) -> None:
    for proof in proofs:
        verdict = "holds" if proof["holds"] else "DOES NOT HOLD"
        click.echo(f"coin      {proof['coin']} was spent before; the proof {verdict}:")
        click.echo(f"coin key  {proof['coin_key']}")
        click.echo(f"seal      {proof['seal']}")
        click.echo(f"signature {proof['signature']}")


def amount_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """AMOUNT, a whole number of units."""
    return click.argument("amount", type=click.IntRange(min=1))(command)


def file_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--file FILE``, where standard input is read without it."""
    return click.option(
        "--file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The file that the other side gave you.",
    )(command)


def read_text(path: Path | None, what: str, most_bytes: int = MOST_TEXT_BYTES) -> str:
    """A file's text, or standard input's. Raises UserError, also when it is longer than ``most_bytes``."""
    try:
        if path is None and sys.stdin.isatty():
            say(f"paste {what}, then press Enter and Ctrl-D")
        if path is None:
            data = sys.stdin.buffer.read(most_bytes + 1)
        else:
            with path.open("rb") as file:
                data = file.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise UserError(f"this is too large for {what}")
        return data.decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise UserError(f"this is not {what}") from None
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
