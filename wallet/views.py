"""What the wallet shows, as plain data: tables for people and JSON for programs are made from the same."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from bank.formats.account import Operation
from bank.formats.coin import total_units
from wallet.anonymity.figures import figures_of, summary
from wallet.books import Books
from wallet.machines.account import AccountState
from wallet.machines.foreign import ForeignState
from wallet.machines.invoice import InvoiceState
from wallet.machines.steps import Phase
from wallet.operations import Machine, PlanState, Want
from wallet.outcome import Outcome
from wallet.payment_views import (
    kept_units,
    payment_view,
    payment_word,
    request_view,
    request_word,
    taken_units,
)
from wallet.proof import SpentProof
from wallet.purse import CoinRecord, CoinState, Purse
from wallet.renewal import last_day
from wallet.words import meaning, paid_with_others, partly_paid


def balance(books: Books) -> dict[str, Any]:
    """Units by what they are, and the account as its last verified statement shows it."""
    purse = books.purse
    coins = purse.coins().values()
    head, cursor, kept = books.head(), books.cursor(), kept_units(purse)
    return {
        "free": _units(coins, CoinState.FREE),
        "pending": _units(coins, CoinState.PENDING, CoinState.RESERVED) - kept,
        "kept": kept,
        "incoming": incoming(purse),
        "handed_over": _units(coins, CoinState.HANDED),
        "lost": _units(coins, CoinState.LOST),
        "disputed": _units(coins, CoinState.DISPUTED),
        "expired": _units(coins, CoinState.EXPIRED),
        "account": {
            "key": purse.account().public.hex(),
            "balance": None if head is None else head.balance,
            "statement": 0 if head is None else head.sequence,
        },
        "round": 0 if cursor is None else cursor.round,
        "evidence": len(books.evidence()),
        "anonymity": anonymity(books),
    }


def anonymity(books: Books) -> dict[str, Any]:
    """The weakest figures among the free coins, and how many coins they are true of."""
    crowd = books.crowd()
    alike = crowd.alike()
    free = books.purse.coins(CoinState.FREE).values()
    return asdict(summary(figures_of(coin, alike) for coin in free)) | {"statement_round": crowd.round}


def _units(coins: Iterable[CoinRecord], *states: CoinState) -> int:
    return sum(coin.units for coin in coins if coin.state in states)


def incoming(purse: Purse) -> int:
    """What open payment requests still wait for, in units."""
    states = [stored.state for stored in purse.open_operations().values()]
    return sum(
        state.opened().units - state.arrived_units() for state in states if isinstance(state, InvoiceState)
    )


def coin_rows(books: Books, *, everything: bool = False) -> list[dict[str, Any]]:
    """
    The coins in hand (or all that ever were), the largest first.

    ``public``: how many coins it could be for the public, at most; None when that isn't known, or the coin
    isn't on the board unspent. ``beside``: how many of its value its round certified. ``until``: the day on
    which its life ends, and its grace begins; None when that isn't known.
    """
    shown = tuple(CoinState) if everything else _IN_HAND
    alike, terms = books.crowd().alike(), books.terms()
    rows = []
    for record in books.purse.coins(*shown).values():
        figures = figures_of(record, alike)
        rows.append(
            {
                "coin": record.id().hex(),
                "units": record.units,
                "state": record.state.value,
                "epoch": record.epoch,
                "until": last_day(record, terms),
                "public": figures.public if record.state in _ON_THE_BOARD else None,
                "exchanges": figures.exchanges,
                "beside": figures.beside,
                "recognisable": record.recognisable,
                "round": record.round,
            }
        )
    return sorted(rows, key=lambda row: (-int(row["units"]), str(row["state"]), str(row["coin"])))


_ON_THE_BOARD = (CoinState.FREE, CoinState.RESERVED, CoinState.HANDED, CoinState.DISPUTED)
_IN_HAND = (
    CoinState.FREE,
    CoinState.PENDING,
    CoinState.RESERVED,
    CoinState.HANDED,
    CoinState.DISPUTED,
    CoinState.EXPIRED,
)


def kind_of(state: Machine | PlanState) -> str:
    """What an operation is, in a word."""
    if isinstance(state, PlanState):
        return state.want.value
    if isinstance(state, AccountState):
        return Operation(state.operation).name.lower()
    return "request" if isinstance(state, InvoiceState) else state.purpose


def amount_of(books: Books, state: Machine | PlanState) -> int:
    """Units that it is about."""
    if isinstance(state, PlanState):
        return state.amount
    if isinstance(state, InvoiceState):
        return state.opened().units
    if isinstance(state, AccountState):
        deposited = sum(books.worth(state.inputs()).values())
        return deposited + total_units(exponent for _, exponent in state.outputs)
    if isinstance(state, ForeignState):
        return taken_units(state)
    return total_units(output.exponent for output in state.order.outputs)


def outcome(books: Books, result: Outcome) -> dict[str, Any]:
    """One operation, for people and programs."""
    state = result.state
    view: dict[str, Any] = {
        "operation": result.row,
        "kind": kind_of(state),
        "state": _state_word(books.purse, state),
        "amount": amount_of(books, state),
        "round": round_of(books.purse, state),
    }
    if isinstance(state, PlanState):
        view["units"] = state.units
        if state.want is Want.PAY:
            view |= payment_view(books.purse, state)
    if isinstance(state, InvoiceState):
        view |= request_view(books.purse, result.row, state)
    reason = getattr(state, "reason", "")
    if reason:
        view["reason"] = reason
        view["meaning"] = meaning(reason)
    if isinstance(state, PlanState) and state.is_partly_paid:
        view["meaning"] = partly_paid(state)
    if isinstance(state, PlanState) and state.is_paid_with_others:
        view["meaning"] = paid_with_others(state)
    if result.proofs:
        view["proofs"] = [SpentProof.of(proof).view() for proof in result.proofs]
    return view


def _state_word(purse: Purse, state: Machine | PlanState) -> str:
    if isinstance(state, InvoiceState):
        return request_word(purse, state)
    if isinstance(state, PlanState) and state.want is Want.PAY:
        return payment_word(purse, state)
    return state.phase.value


def round_of(purse: Purse, state: Machine | PlanState) -> int:
    """The round of the board in which it was settled; 0 before, and where there is no single one."""
    if isinstance(state, PlanState):
        return round_of(purse, purse.operation(state.last)) if state.last else 0
    return state.round if state.phase is Phase.SETTLED else 0
