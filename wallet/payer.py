"""
What a member wants as a payer, checked before anything is written: pay, pay back, take back, ask for money
back. What it returns is a plan; the cashier carries it.
"""

from pathlib import Path

import msgspec

from bank.formats.order import input_ids
from mixmint.errors import UserError
from wallet.arrivals import arrivals, came_back, refunds_of
from wallet.books import Books
from wallet.machines.invoice import InvoiceState
from wallet.machines.promised import PromisedState
from wallet.machines.steps import Phase, Revoke
from wallet.marks.mark import check_text
from wallet.operations import PlanState, Want
from wallet.payment_request import PaymentRequest


class Payer:
    """The payer's side of a wallet. All raise UserError: nothing has happened then."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._purse = books.purse

    def plan(
        self,
        request: PaymentRequest,
        *,
        now: bool,
        note: str = "",
        statement: str = "",
        is_sealed: bool = False,
        path: Path | None = None,
        spread_s: float = 0.0,
    ) -> PlanState:
        """
        Pay a request. ``note``, ``statement``: what the order binds. ``is_sealed``: sign the order and hand
        it to the payee, who submits it. ``path``: where to write what the payee needs, if anything.
        ``spread_s``: over how long the orders are spread, where each coin is paid by its own.
        """
        if request.bank != self._books.bank.id:
            raise UserError("this request is for another bank than this wallet's; pay it from another wallet")
        if any(self._purse.coin(output.coin) for output in request.outputs):
            # Whoever knows ids of ours can put them into a request of his own: we would pay what he owes.
            raise UserError("this request names coins of this wallet; it would pay itself")
        check_text(note, "the note")
        check_text(statement, "the statement")
        if is_sealed and request.is_hold:
            raise UserError("this request asks for a hold, so the payment can't be sealed; pay it without")
        if statement and not is_sealed:
            raise UserError("a statement is relayed by whoever submits the order; seal the payment")
        is_told = is_sealed or request.is_hold
        if is_told and path is None and request.reply is None:
            raise UserError("this request has no way back to its payee; name a file for him with --out FILE")
        if path is not None and not is_told:
            raise UserError("this payment needs no file: the payee sees it on the board")
        self._check_unpaid(request)
        return PlanState(
            want=Want.PAY,
            amount=request.units,
            now=now,
            request=request.encode(),
            note=note,
            statement=statement,
            is_sealed=is_sealed,
            path="" if path is None else str(path),
            # What a payee carries out must be one deed, and so is what can't wait.
            is_apart=not (now or is_told),
            spread_s=spread_s,
        )

    def _check_unpaid(self, request: PaymentRequest) -> None:
        encoded = request.encode()
        operations = self._purse.operations()
        for row, stored in operations.items():
            state = stored.state
            if not isinstance(state, PlanState) or state.request != encoded:
                continue
            if state.phase is Phase.REFUSED or came_back(state, operations):
                continue
            if state.is_partly_paid:
                raise UserError(
                    f"{state.units} of this request's {state.amount} units were paid (operation {row}); the "
                    "rest can't be. Ask its payee for a new request over the rest, or for the money back: "
                    f"mixmint wallet ask-refund {row}"
                )
            how = "is being paid" if state.phase is Phase.WORKING else "has been paid"
            raise UserError(f"this request {how} already (operation {row}); see `mixmint wallet history`")

    def refund(self, row: int, to: PaymentRequest, *, now: bool, spread_s: float = 0.0) -> PlanState:
        """Pay back what came of our request ``row``, or a part of it, to ids that its payer gave."""
        stored = self._purse.operations()
        state = stored[row].state if row in stored else None
        if not isinstance(state, InvoiceState):
            raise UserError(f"operation {row} is no payment request of yours; see `mixmint wallet history`")
        came = arrivals(state, self._purse.coin).came
        done = refunds_of(row, stored)
        if not came:
            raise UserError(f"nothing has come of request {row}, so there is nothing to pay back")
        if sum(done.values()) + to.units > came:
            before = f", and {sum(done.values())} were paid back before" if done else ""
            raise UserError(
                f"{came} units came of request {row}{before}; the refund would be {to.units}: "
                "ask the payer for a smaller request, or pay it as an ordinary payment"
            )
        return msgspec.structs.replace(self.plan(to, now=now, spread_s=spread_s), refunds=row)

    def paid_by_us(self, row: int) -> PlanState:
        """A payment of ours."""
        stored = self._purse.operations().get(row)
        state = stored.state if stored else None
        if not isinstance(state, PlanState) or state.want is not Want.PAY:
            raise UserError(f"operation {row} is no payment of yours; see `mixmint wallet history`")
        return state

    def take_back(self, row: int) -> PlanState | None:
        """
        Take back a sealed payment that its payee hasn't submitted; None when that is under way already.

        It is a race: if he submits it first, he has the money, and the plan says so.
        """
        plan = self.paid_by_us(row)
        order = self._purse.operation(plan.last) if plan.last else None
        if not isinstance(order, PromisedState):
            raise UserError(f"payment {row} went straight to the bank; it can't be taken back")
        if order.phase is Phase.KEPT and not order.is_sealed:
            raise UserError(
                f"the bank keeps the coins of payment {row} for its payee until round {order.round}; "
                "after that this wallet takes them back by itself"
            )
        if order.phase is not Phase.KEPT and order.phase is not Phase.LAPSED:
            how = "was captured" if order.phase is Phase.SETTLED else "is over"
            raise UserError(f"payment {row} {how}; there is nothing to take back")
        self._books.feed(plan.last, Revoke())
        return self.taking_back(plan.last)

    def taking_back(self, row: int) -> PlanState | None:
        """The plan for the coins of a lapsed order; None when there is one."""
        stored = self._purse.open_operations().values()
        plans = [each.state for each in stored if isinstance(each.state, PlanState)]
        if any(plan.want is Want.TAKE_BACK and plan.last == row for plan in plans):
            return None
        order = self._purse.operation(row)
        if not isinstance(order, PromisedState):
            raise UserError(f"operation {row} is no hold and no sealed payment")
        coins = self._books.worth(input_ids(order.order))
        return PlanState(want=Want.TAKE_BACK, amount=sum(coins.values()), last=row)
