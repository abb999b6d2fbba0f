"""Short reasons and states, in a member's words."""

from bank.formats.account import Operation
from bank.formats.order import input_ids
from wallet.books import Books
from wallet.machines.account import AccountState
from wallet.machines.invoice import InvoiceState
from wallet.machines.order import OrderState
from wallet.machines.steps import Phase
from wallet.operations import Machine, PlanState

REFUSALS = {
    "spent": "a coin had been spent already",
    "taken": "the request has been paid already, or its ids are in use; ask the payee for a new one",
    "held": "another order holds one of the coins; try again later",
    "busy": "the bank holds as many coins of that worth as it keeps at a time; nothing happened, try again "
    "later or with larger coins",
    "too-late": "the order reached the bank after its last round; nothing happened, try again",
    "balance": "the account has not enough units; see `mixmint wallet balance`",
    "no-account": "the bank has no such account; give its operator the account key that init printed",
    "expired": "the payment request has expired; ask the payee for a new one",
    "ending": "the payment request ends too soon to be paid coin by coin; pay it with --now, or ask the "
    "payee for a new one",
    "too-many-coins": "no single order can carry this amount from these coins; pay it in two parts",
    "not-enough": "there are not enough free units; withdraw more, or see `mixmint wallet balance`",
    "unknown-certificate": "the bank denies a coin that it certified; the proof is in the evidence folder",
    "expired-coin": "a coin is too old",
    "captured": "the payee was first: he has the money",
    "untold": "the payee couldn't be told in time; the coins come back",
    "no-hold": "the bank knows of no such hold any more; ask the payer to pay again",
    "sums": "the payer put in less than he pays; nothing happened",
    "stopped": "you stopped it",
}


def meaning(reason: str) -> str:
    """One line for a person."""
    return REFUSALS.get(reason, f"the bank refused ({reason}); its answer is in the evidence folder")


def partly_paid(plan: PlanState) -> str:
    """What came of a payment that ended before all of it was paid."""
    return (
        f"{plan.units} of {plan.amount} units were paid, and the rest can't be any more: "
        f"{meaning(plan.reason)}. What wasn't paid is yours; ask the payee for what was "
        "(`mixmint wallet ask-refund`), or for a new request over the rest"
    )


def paid_with_others(plan: PlanState) -> str:
    """The same, when the board shows the rest as paid."""
    return (
        f"{plan.units} of {plan.amount} units were paid by this wallet, and the rest by another copy of it, "
        "or by somebody else: all of the request is paid. What this one didn't pay is yours"
    )


def line_of(state: Machine, books: Books) -> str:
    """What happened, in a line: values in, values out."""
    if isinstance(state, OrderState):
        paid = sorted((1 << output.exponent for output in state.order.outputs), reverse=True)
        spent = sorted(books.worth(input_ids(state.order)).values(), reverse=True)
        what = f"{state.purpose} {_sum(spent)} -> {_sum(paid)}" if spent else f"{state.purpose} {_sum(paid)}"
    elif isinstance(state, AccountState):
        units = sum(books.worth(state.inputs() or state.mine).values())
        what = f"{Operation(state.operation).name.lower()} {units}"
    elif isinstance(state, InvoiceState):
        what = f"request {state.opened().units}"
    if state.phase is Phase.SETTLED:
        return f"{what}: settled in round {state.round}"
    return f"{what}: {getattr(state, 'reason', '') or state.phase.value}"


def _sum(values: list[int]) -> str:
    return " + ".join(f"{value:,}" for value in values)
