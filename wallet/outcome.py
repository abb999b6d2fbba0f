"""What becomes of what a member asked for: its outcome, what stays open, and the proofs that came with it."""

from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from bank.formats.answer import Answer, Spent
from mixmint.errors import PendingError, UserError
from wallet.machines.account import AccountState
from wallet.machines.order import OrderState
from wallet.operations import Machine, PlanState, Want
from wallet.purse import Purse


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an operation: its row, its final state, and proofs that coins were spent before."""

    row: int
    state: Machine | PlanState
    proofs: tuple[Spent, ...] = ()


class Unfinished(PendingError):
    """Something stays open. ``over``: what came to its end meanwhile."""

    def __init__(self, message: str, over: list[Outcome]) -> None:
        super().__init__(message)
        self.over = over


def proofs_of(purse: Purse, row: int) -> tuple[Spent, ...]:
    """Proofs that coins of this operation had been spent by an earlier order, ours or a stranger's."""
    states = [purse.operation(row)]
    states += [
        stored.state
        for stored in purse.operations().values()
        if isinstance(stored.state, OrderState | AccountState) and stored.state.parent == row
    ]
    answers = [
        Answer.decode(state.proof)
        for state in states
        if isinstance(state, OrderState | AccountState) and state.proof
    ]
    return tuple(answer.body for answer in answers if type(answer.body) is Spent)


def is_errand(state: Machine | PlanState) -> bool:
    """A plan that whoever opens the wallet carries to its end."""
    return isinstance(state, PlanState) and state.want is not Want.CHURN


def new_file(path: Path) -> Path:
    """A file that can be made, as an absolute path: a plan goes on from any folder. Raises UserError."""
    if path.exists():
        raise UserError(f"{path} exists already; choose another file")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}")
    return path.absolute()


async def on_file(work: Awaitable[object]) -> None:
    """Carry on with what is on disk: whatever goes wrong from here on, it isn't "nothing happened"."""
    try:
        await work
    except PendingError:
        raise
    except UserError as error:
        raise PendingError(f"{error}; then run: mixmint wallet resume") from None
