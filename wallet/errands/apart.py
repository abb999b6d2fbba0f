"""
A payment request, paid coin by coin: an order v -> v for each of its outputs, like anybody's exchange.

1. *The coins*: a clean one of each value, made by standard exchanges where it is missing; then all are kept.
2. *The guard*: the order for the request's first output goes alone. Coin ids are random and a request lists
   them in their order, so whoever else pays it begins with the same one; an id is certified once. Of two
   payers one is refused here, and has paid nothing.
3. *The rest*, once the bank has certified the first: each at a time of its own, and signed only then. Signed
   together, they would show by their last rounds that they belong together. What is due together, since
   nobody was there, is spread once more.
4. *The end*: all of it is on the board; or something of it can't be paid any more, and the plan says how much
   was. Until then whatever stopped is begun again: what is paid is read from the orders, never remembered.

Nobody waits for a piece whose time is far: it stands in the plan, and goes with the agent or a later command.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import msgspec

from mixmint.errors import PendingError
from wallet.errands.desk import MENDABLE, MOST_TRIES, Desk
from wallet.machines.steps import Phase
from wallet.marks.mark import Mark
from wallet.matched import next_exchanges, one_each
from wallet.operations import Part, PlanState
from wallet.parts import Piece, newest, pieces_of, watch
from wallet.payment_request import PaymentRequest
from wallet.plans import Held, total
from wallet.purse import CoinRecord, CoinState
from wallet.teller import Start

LEAST_ROUNDS = 20
"""So many a request must have left when several orders begin to pay it: the others wait for the first one's
answer, and what comes behind the end would leave its payer with a part."""


def is_ending(request: PaymentRequest, closed: int) -> bool:
    """Whether a request ends too soon to be paid by several orders that are begun now."""
    return len(request.outputs) > 1 and request.last_round - closed < LEAST_ROUNDS


def choose(desk: Desk, row: int, plan: PlanState, request: PaymentRequest) -> list[int]:
    """One step before anything is paid: the exchanges that are missing, or all coins kept for the plan."""
    if desk.closed >= request.last_round:
        return desk.end(row, plan, "expired")
    held = desk.held()
    if total(held) < plan.amount:
        return desk.end(row, plan, "not-enough")
    exponents = [output.exponent for output in request.outputs]
    chosen = one_each(held, exponents)
    if chosen is None:
        return desk.start(row, next_exchanges(held, exponents))
    _keep(desk, row, plan, [Part() for _ in chosen], dict(enumerate(chosen)))
    desk.teller.at("coins-chosen")
    return []


def _keep(desk: Desk, row: int, plan: PlanState, parts: list[Part], chosen: dict[int, Held]) -> None:
    """These coins are the plan's from now on, each for the part with its number."""
    free = desk.purse.coins(CoinState.FREE)
    with desk.purse.transaction():
        for number, coin in chosen.items():
            record = free[coin.row]
            desk.purse.change_coin(coin.row, record, state=CoinState.RESERVED, operation=row)
            parts[number] = msgspec.structs.replace(parts[number], coin=record.id())
        desk.purse.set_operation(row, msgspec.structs.replace(plan, parts=tuple(parts)))


class Apart:
    """Carries such payments on, once their coins are kept. ``now_s``: Unix seconds; ``rng`` draws times."""

    def __init__(self, desk: Desk, now_s: Callable[[], float], rng: Random) -> None:
        self._desk = desk
        self._now_s = now_s
        self._rng = rng

    async def go_on(self, row: int, patience_s: float) -> None:
        """
        One stage of it. Of pieces whose time comes within ``patience_s`` seconds it is waited for.

        Raises PendingError: what is left has its time later, or an outcome stays unknown.
        """
        plan, pieces = self._read(row)
        guard, rest = pieces[0], pieces[1:]
        request = PaymentRequest.decode(plan.request)
        if guard.is_promised:
            await self._rest(row, plan, request, pieces, patience_s)
        elif guard.live:
            await self._desk.teller.finish([guard.live], enough=(Phase.ANSWERED,))
        elif self._is_over(guard, request):
            self._end(row, plan, pieces, request)
        elif is_ending(request, self._desk.closed):
            self._end(row, plan, pieces, request, "ending")
        elif self._coin_of(row, guard) is not None:
            start = partial(self._wait_and_begin, row, guard.number, 0.0)
            await self._desk.teller.finish([start], enough=(Phase.ANSWERED,))
        elif not await self._find_coins(row, plan, [guard]):
            self._end(row, plan, [guard, *rest], request, "not-enough")

    async def _rest(
        self, row: int, plan: PlanState, request: PaymentRequest, pieces: list[Piece], patience_s: float
    ) -> None:
        if not plan.until_round:
            self._draw_times(row, plan, request)
            return
        if self._spread_anew(row, plan, pieces):
            return
        open_ = [piece for piece in pieces if not (piece.is_promised or piece.live)]
        open_ = [piece for piece in open_ if not self._is_over(piece, request)]
        lacking = [piece for piece in open_ if self._record_of(row, piece) is None]
        if lacking and await self._find_coins(row, plan, lacking):
            return
        ready = [piece for piece in open_ if self._coin_of(row, piece) is not None]
        soon = [piece for piece in ready if self._left_s(plan, piece) <= patience_s]
        starts: list[int | Start] = [
            partial(self._wait_and_begin, row, piece.number, self._left_s(plan, piece)) for piece in soon
        ]
        under_way = self._desk.unfinished(row)
        if starts or under_way:
            await self._desk.teller.finish([*under_way, *starts])
        elif len(open_) > len(lacking):
            raise PendingError(_later(plan, pieces, max(self._left_s(plan, piece) for piece in open_)))
        else:
            self._end(row, plan, pieces, request, "not-enough" if lacking else "")

    def start_due(self, row: int) -> None:
        """Put on file what is due by now, so that it goes with whatever else is under way."""
        plan, pieces = self._read(row)
        if not pieces or not pieces[0].is_promised or not plan.until_round:
            return
        if self._spread_anew(row, plan, pieces):
            plan, pieces = self._read(row)
        for piece in pieces:
            if not piece.orders and self._left_s(plan, piece) <= 0:
                self._begin(row, piece.number)

    def only_waits(self, row: int) -> bool:
        """Whether nothing of it is under way, and what is left has its time later."""
        plan, pieces = self._read(row)
        if not pieces or not plan.until_round or self._desk.unfinished(row):
            return False
        left = [self._left_s(plan, piece) for piece in pieces if not piece.orders]
        return bool(left) and min(left) > 0

    # Times

    def _draw_times(self, row: int, plan: PlanState, request: PaymentRequest) -> None:
        now_s, closed = self._now_s(), self._desk.closed
        first, *rest = plan.parts
        due = [now_s + self._rng.uniform(0, plan.spread_s) for _ in rest]
        parts = [msgspec.structs.replace(part, due_s=at_s) for part, at_s in zip(rest, due, strict=True)]
        # Half of the rounds that are left stay for orders that must be asked again. At least 1: drawn.
        until = max(1, closed + (request.last_round - closed) // 2)
        self._desk.change(row, plan, parts=(first, *parts), until_round=until)

    def _spread_anew(self, row: int, plan: PlanState, pieces: Sequence[Piece]) -> bool:
        """
        Of pieces that are due together, since nobody was there at their times, all but one get new times: so
        many orders at once, behind a silence, would be one payment. So does what a clock that was ahead has
        put farther off than it may be. Whether there are any.
        """
        if not plan.spread_s or self._desk.closed >= plan.until_round:
            return False
        now_s, parts = self._now_s(), list(plan.parts)
        left = [piece for piece in pieces if not piece.orders]
        late = [piece for piece in left if piece.part.due_s <= now_s]
        ahead = [piece for piece in left if piece.part.due_s > now_s + plan.spread_s]
        anew = [*late[1:], *ahead]
        for piece in anew:
            due_s = now_s + self._rng.uniform(0, plan.spread_s)
            parts[piece.number] = msgspec.structs.replace(piece.part, due_s=due_s)
        if anew:
            self._desk.change(row, plan, parts=tuple(parts))
        return bool(anew)

    def _left_s(self, plan: PlanState, piece: Piece) -> float:
        """How long its order must still wait; at most as long as the spread."""
        if self._desk.closed >= plan.until_round:
            return 0.0
        return min(max(0.0, piece.part.due_s - self._now_s()), plan.spread_s)

    # Orders

    async def _wait_and_begin(self, row: int, number: int, left_s: float) -> int:
        teller = self._desk.teller
        while left_s > 0 and self._desk.closed < self._desk.plan(row).until_round:
            # In small steps: the board's clock may be quicker than this one.
            await teller.sleep(min(left_s, teller.poll_s))
            left_s -= teller.poll_s
        return self._begin(row, number)

    def _begin(self, row: int, number: int) -> int:
        """The order for this piece, on file; its row, 0 when it can't be made now."""
        desk, (plan, pieces) = self._desk, self._read(row)
        request, piece = PaymentRequest.decode(plan.request), pieces[number]
        coin = self._coin_of(row, piece)
        if piece.live or piece.is_promised or coin is None or desk.closed >= request.last_round:
            return piece.live
        place, record = coin
        last_round = self._last_round(request)
        # Each has salts of its own: notes that bind the same words can't be told to do so.
        mark = Mark.make(request.digest(), plan.note)
        with desk.purse.transaction():
            # Never free between the plan and its order, for anything else to take.
            desk.purse.change_coin(place, record, state=CoinState.FREE)
            held = Held.of(place, record)
            order = desk.counter.payment([held], (piece.output,), (), last_round, row, mark)
            parts = list(plan.parts)
            parts[number] = msgspec.structs.replace(piece.part, orders=(*piece.part.orders, order))
            desk.purse.set_operation(row, msgspec.structs.replace(plan, parts=tuple(parts)))
        desk.teller.at("order-written")
        return order

    def _last_round(self, request: PaymentRequest) -> int:
        """
        As an exchange's. Where the request ends before that, somewhat before its end, drawn for each order:
        with one and the same unusual last round the bank would know all of them by it.
        """
        usual, left = self._desk.last_round(), request.last_round - self._desk.closed
        if usual <= request.last_round:
            return usual
        return request.last_round - self._rng.randrange(max(1, left // 4))

    # Coins

    def _record_of(self, row: int, piece: Piece) -> tuple[int, CoinRecord] | None:
        """The coin that the plan keeps for this piece."""
        found = self._desk.purse.coin(piece.part.coin) if piece.part.coin else None
        if found is None or found[1].state is not CoinState.RESERVED or found[1].operation != row:
            return None
        return found

    def _coin_of(self, row: int, piece: Piece) -> tuple[int, CoinRecord] | None:
        """The same, if it is money now: after a change of the bank's key it may have to come again first."""
        found = self._record_of(row, piece)
        return found if found is not None and found[1].certificate else None

    async def _find_coins(self, row: int, plan: PlanState, lacking: Sequence[Piece]) -> bool:
        """Other coins for pieces whose own were refused; False when there are too few, with nothing done."""
        orders = {piece.live for piece in self._read(row)[1]}
        if under_way := [each for each in self._desk.unfinished(row) if each not in orders]:
            await self._desk.teller.finish(under_way)
            return True
        held, exponents = self._desk.held(), [piece.output.exponent for piece in lacking]
        chosen = one_each(held, exponents)
        if chosen is not None:
            numbers = [piece.number for piece in lacking]
            _keep(self._desk, row, plan, list(plan.parts), dict(zip(numbers, chosen, strict=True)))
            return True
        exchanges = next_exchanges(held, exponents) if total(held) >= sum(map(_units, lacking)) else []
        if not exchanges:
            return False
        await self._desk.teller.finish(self._desk.start(row, exchanges))
        return True

    # The end

    def _is_over(self, piece: Piece, request: PaymentRequest) -> bool:
        """Whether it can't be paid any more; only asked of one that is neither paid nor under way."""
        if self._desk.closed >= request.last_round or len(piece.orders) >= MOST_TRIES:
            return True
        return bool(piece.orders) and piece.reason not in MENDABLE

    def _end(
        self,
        row: int,
        plan: PlanState,
        pieces: Sequence[Piece],
        request: PaymentRequest,
        why: str = "",
    ) -> None:
        purse, paid = self._desk.purse, [piece for piece in pieces if piece.paid_by]
        unpaid = [piece for piece in pieces if not piece.paid_by]
        refused = next((piece.reason for piece in unpaid if piece.reason), "")
        reason = (why or refused or "expired") if unpaid else ""
        phase = Phase.SETTLED if paid else Phase.REFUSED
        with purse.transaction():
            for number, record in purse.coins(CoinState.RESERVED).items():
                if record.operation == row:
                    state = CoinState.FREE if record.certificate else CoinState.EXPECTED
                    purse.change_coin(number, record, state=state)
            changed = msgspec.structs.replace(
                plan,
                phase=phase,
                units=sum(map(_units, paid)),
                reason=reason,
                last=newest(list(pieces)),
            )
            purse.set_operation(row, changed)
            if changed.is_partly_paid:
                watch(purse, row)

    def _read(self, row: int) -> tuple[PlanState, list[Piece]]:
        plan = self._desk.plan(row)
        return plan, pieces_of(self._desk.purse, plan)


def _units(piece: Piece) -> int:
    return piece.units


def _later(plan: PlanState, pieces: Sequence[Piece], left_s: float) -> str:
    paid = sum(piece.units for piece in pieces if piece.is_promised)
    return (
        f"{paid} of {plan.amount} units are paid; the rest goes at times of its own within "
        f"{max(1, round(left_s / 60))} min, by the agent or the next command: mixmint wallet resume"
    )
