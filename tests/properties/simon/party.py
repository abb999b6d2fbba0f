"""
An honest party A_i: the wallet's real cores, given the transaction inputs of definition 3.

It carries an input out, and when it doesn't know the outcome it resumes, as the agent beside a wallet does.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from mixmint.errors import PendingError, UserError
from tests.properties.simon.network import Asked, Wire
from tests.properties.simon.tapes import TapeRandom
from tests.unit.wallet.town import NOW_S
from wallet.bearer import parse_bearer
from wallet.cashier import Cashier
from wallet.machines.steps import Phase
from wallet.payment_request import parse_uri
from wallet.purse import CoinState

if TYPE_CHECKING:
    from tests.properties.simon.world import World

WITHDRAW = "W"
DEPOSIT = "B"
STOCK_WAIT_S = 3.0
MOST_RESUMES = 5
SETTINGS: dict[str, Any] = {"poll_s": 1.0, "settle_wait_s": 8.0}
"""A look at the board each tick; so many ticks of patience."""

ASKS = b"please ask me for "
"""What a payer sends to get a payment request."""


class How(Enum):
    """The ways to pay."""

    HAND_OVER = "hand over"
    """The coins themselves, x and mu', as in definition 9."""
    INVOICE = "invoice"
    """Into the payee's own f(y), coin by coin from stock."""
    NOW = "now"
    """Into the payee's own f(y), with change, without preparing."""


@dataclass(frozen=True, slots=True)
class Input:
    """A transaction input to ``party``: WITHDRAW, DEPOSIT or the name of the payee."""

    party: str
    what: str
    units: int = 1
    how: How = How.HAND_OVER


class Party:
    """A wallet's process, and the member in front of it."""

    def __init__(self, name: str, world: "World", credited: int) -> None:
        self.name = name
        self.credited = credited
        self.refusals: list[str] = []
        """What the member was told when a transaction couldn't be done."""
        self.rejected: list[str] = []
        """The same of what others sent."""
        self._led = 0
        self._network = world.network
        self._tapes = world.tapes
        wire: Any = Wire(world.network)
        world.town._wires[name] = wire
        self.wallet = world.town.wallet(name, **SETTINGS, **world.settings)
        self.wallet.teller.sleep = asyncio.sleep
        self.cashier = self.wallet.cashier = Cashier(
            self.wallet.teller,
            self.wallet.settings,
            stock_wait_s=STOCK_WAIT_S,
            pay_spread_s=STOCK_WAIT_S,
            now_s=lambda: NOW_S,
            rng=TapeRandom(),
        )

    # Outputs

    def wal(self) -> int:
        """The wallet balance: units that can be spent."""
        return self.wallet.units()

    def led(self) -> int:
        """
        The ledger balance: deposited less withdrawn, as the party's own chain of statements says. While a
        successor's chain hasn't been read, it is what the old one said.
        """
        head = self.wallet.books.head()
        if head is not None:
            self._led = head.balance - self.credited
        return self._led

    async def listen(self) -> None:
        """Read the board."""
        await self.wallet.teller.sync()

    # Inputs

    async def carry_out(self, given: Input, cycle: int) -> None:
        """A transaction input."""
        if given.what == WITHDRAW:
            await self.insist(self.cashier.withdraw(given.units), self.refusals)
        elif given.what == DEPOSIT:
            await self.insist(self.cashier.deposit(given.units), self.refusals)
        elif given.how is How.HAND_OVER:
            await self._hand_over(given, cycle)
        else:
            question = self._network.send(given.what, ASKS + str(given.units).encode(), sender=self.name)
            request = parse_uri((await question.answer).decode())
            await self.insist(self.cashier.pay(request, now=given.how is How.NOW), self.refusals)

    async def _hand_over(self, given: Input, cycle: int) -> None:
        path = self.wallet.home / f"coins {cycle}"
        await self.insist(self.cashier.hand_over(given.units, path, now=False), self.refusals)
        if path.exists():
            self._network.send(given.what, path.read_bytes())

    async def insist(self, work: Coroutine[Any, Any, Any], told: list[str]) -> None:
        """Resume until the outcome is known; ``told`` gets why it couldn't be done."""
        try:
            await work
        except PendingError:
            for _ in range(MOST_RESUMES):
                try:
                    await self.cashier.resume()
                except PendingError:
                    continue
                return
            told.append("pending")
        except UserError as error:
            told.append(str(error))

    async def takes(self, message: Asked, cycle: int) -> None:
        """A message: coins, or somebody who wants to pay."""
        with self._tapes.use(f"payee of {cycle}"):
            if message.data.startswith(ASKS):
                _, request = await self.cashier.request(int(message.data[len(ASKS) :]), "")
                self._network.reply(message, request.uri().encode())
                return
            try:
                bearer = parse_bearer(message.data.decode("ascii", "replace"))
            except UserError as error:
                self.rejected.append(str(error))
                return
            await self.insist(self.cashier.receive(bearer), self.rejected)

    def units_live(self, live: Mapping[bytes, int]) -> int:
        """Units of the free coins that ``live`` (exponents by id) has with the very value."""
        free = self.wallet.purse.coins(CoinState.FREE).values()
        return sum(coin.units for coin in free if live.get(coin.id()) == coin.exponent)

    async def resume(self) -> None:
        """Go on with what is open; what still can't be known stays open."""
        await self.insist(self.cashier.resume(), self.refusals)

    def evidence(self) -> list[str]:
        """Names of the files kept against the bank."""
        return [path.name for path in self.wallet.books.evidence()]

    def unsettled(self) -> int:
        """Units whose fate isn't known yet."""
        return self.wallet.units(CoinState.RESERVED, CoinState.PENDING)

    def open_operations(self) -> list[Phase]:
        """Phases of what is under way; requests that wait to be paid are not."""
        stored = self.wallet.purse.open_operations().values()
        return [each.state.phase for each in stored if each.state.phase is not Phase.WORKING]
