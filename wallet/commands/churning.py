"""``mixmint wallet churn``: exchanges at random times, until coins have been exchanged often enough."""

import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mixmint.errors import UserError
from replyblocks.commands.options import home_option, json_option
from wallet.commands.running import many, open_and, say

if TYPE_CHECKING:
    from wallet.cashier import Cashier
    from wallet.errands.churning import Progress

T = TypeVar("T")

WAITS_S = 2.0
"""So long at most a look holds the home; other commands get it in between."""
PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
PENDING = 3
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Place:
    """A home that is unlocked. Its repr shows no key."""

    home: Path
    key: bytes = field(repr=False)

    def open_and(self, work: "Callable[[Cashier], Awaitable[T]]") -> T:
        """Open the wallet and do ``work``."""
        return open_and(self.home, work, as_json=True, key=self.key)


class Span(click.ParamType):  # type: ignore[type-arg]  # click 8.1 has no arguments for it
    """A time with its unit: 90s, 30m, 2h, 1d."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value))
        if found is None:
            self.fail(f"{value!r} is no time; write 90s, 30m, 2h or 1d", param, ctx)
        return float(int(found[1]) * _UNITS_S[found[2]])


def _exponent(_: click.Context, __: click.Parameter, values: tuple[int, ...]) -> tuple[int, ...]:
    for value in values:
        if value & (value - 1):
            raise click.BadParameter(f"{value}: coins are worth powers of two")
    return tuple(value.bit_length() - 1 for value in values)


@click.command()
@click.option("--to", type=click.IntRange(1, 100), help="Until you exchanged each coin so often yourself.")
@click.option(
    "--public",
    type=click.IntRange(min=2),
    help="Also exchange coins of old epochs that fewer than so many coins look like.",
)
@click.option(
    "--value",
    "exponents",
    type=click.IntRange(min=1),
    multiple=True,
    callback=_exponent,
    metavar="UNITS",
    help="Only coins of this value; repeat it for several.",
)
@click.option(
    "--within", "within_s", type=Span(), default="1h", show_default=True, help="Spread over: 90s, 2h."
)
@click.option("--leave", is_flag=True, help="Only plan it: the agent, or a later `churn`, does it.")
@click.option("--stop", is_flag=True, help="End the churn that is under way.")
@home_option
@json_option
@click.pass_context
def churn(
    context: click.Context,
    to: int | None,
    public: int | None,
    exponents: tuple[int, ...],
    within_s: float,
    leave: bool,
    stop: bool,
    home: Path,
    as_json: bool,
) -> None:
    """
    Exchange coins until the bank can't follow them as it likes: v -> v, one coin an order, at random times.

    Each exchange is one step that the bank can't tell from a payment to somebody else; `wallet coins` counts
    them. It costs two packets, and takes its time: spread over --within, and longer hides better. Interrupt
    it whenever you like. Without --to it goes on with the one that is under way; the agent does so, too.

    \b
    Example: mixmint wallet churn --to 3 --within 8h
    Example: mixmint wallet churn --to 2 --value 8 --value 16 --leave
    """
    from replyblocks.member import unlock_home

    # A passphrase is asked for once, not at each look.
    place = Place(home, unlock_home(home))
    if stop:
        _stop(place)
        return
    row = _begin(place, to or 0, public or 0, exponents, within_s)
    try:
        progress = _look(place, row)
        if not leave:
            progress = _watch(place, row, told=_line(progress), quiet=as_json)
    except KeyboardInterrupt:
        say("it goes on with the next `mixmint wallet churn`, or in the agent")
        context.exit(PENDING)
    if as_json:
        click.echo(json.dumps(_view(progress), indent=2))
    elif leave or not progress.is_over:
        click.echo(_line(progress))
    else:
        click.echo(f"done: {many(progress.done, 'exchange')}" if not progress.reason else _line(progress))
    # 1 says that nothing happened.
    context.exit(1 if progress.reason and not progress.done else 0)


def _begin(place: Place, to: int, public: int, exponents: tuple[int, ...], within_s: float) -> int:
    """The row of a new churn, or of the one that is under way."""

    async def work(cashier: "Cashier") -> int:
        from wallet.anonymity.churn import Aim

        if to or public:
            return await cashier.churning.begin(Aim(to, public, exponents), within_s)
        row = cashier.churning.open()
        if not row:
            raise UserError("no churn is under way; begin one with --to N")
        return row

    return place.open_and(work)


def _look(place: Place, row: int) -> "Progress":
    async def work(cashier: "Cashier") -> "Progress":
        return cashier.churning.progress(row)

    return place.open_and(work)


def _watch(place: Place, row: int, *, told: str, quiet: bool) -> "Progress":
    """
    Carry it on to its end, beginning with a line of what it will cost (``told``). The home is opened anew for
    each step, so that other commands can use it.
    """

    async def work(cashier: "Cashier") -> "Progress":
        return await cashier.churning.go_on(row, WAITS_S)

    if not quiet:
        say(told)
    while True:
        try:
            progress = place.open_and(work)
            line, pause_s = _line(progress), max(PAUSE_S, progress.next_s - time.time())
        except UserError as error:
            # The board is away, or another command takes long: the plan is on file, and can wait.
            line, pause_s = f"{error}; still churning", PAUSE_S
        else:
            if progress.is_over:
                return progress
        if line != told and not quiet:
            told = line
            say(line)
        time.sleep(min(pause_s, LONGEST_PAUSE_S))


def _stop(place: Place) -> None:
    async def work(cashier: "Cashier") -> None:
        row = cashier.churning.open()
        if not row:
            raise UserError("no churn is under way")
        cashier.churning.stop(row)

    place.open_and(work)
    click.echo("stopped; an exchange that is under way still ends as it would")


def _line(progress: "Progress") -> str:
    if progress.is_over:
        from wallet.words import meaning

        why = f": {meaning(progress.reason)}" if progress.reason else ""
        return f"ended after {many(progress.done, 'exchange')}{why}"
    clock = time.strftime("%H:%M:%S", time.localtime(progress.until_s))
    return (
        f"{many(progress.done, 'exchange')} done, {progress.under_way} under way, {progress.left} to come by "
        f"{clock}; {progress.packets} packets in all"
    )


def _view(progress: "Progress") -> dict[str, Any]:
    return asdict(progress) | {"phase": progress.phase.value, "packets": progress.packets}
