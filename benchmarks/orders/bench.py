"""A bank without a board: its clock is set by hand, and nobody empties its outbox."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from bank.formats.coin import CoinId, CoinKey, coin_id
from bank.formats.order import NOTHING, Order, Output, sign_order
from bank.formats.request import encode_request
from bank.ledger import Signer, Terms
from bank.outbox import BoardClock
from bank.service import Bank
from bank.stores.interface import Store
from benchmarks.orders.engines import EXPONENT, Engine
from mixmint.keys import SigningKey
from replyblocks.service import Request

LAST_ROUND = 1000


@dataclass
class Bench:
    """Make it by ``open_bench``; close it when done."""

    engine: Engine
    signer: Signer
    store: Store
    clock: BoardClock
    bank: Bank

    @property
    def epoch(self) -> int:
        """Coins are certified in this one."""
        return self.clock.epoch()

    async def requests(self, count: int, coins: int = 1) -> list[Request]:
        """Orders for so many coins each, which are certified here, to as many new ones."""
        keys = [SigningKey.generate() for _ in range(count * coins)]
        await self.engine.certify([(coin_id(key.public), self.epoch) for key in keys])
        return [
            Request(os.urandom(16), self._order(keys[start : start + coins]))
            for start in range(0, len(keys), coins)
        ]

    def _order(self, keys: Sequence[SigningKey]) -> bytes:
        outputs = sorted(os.urandom(32) for _ in keys)
        order = Order(
            self.signer.bank,
            os.urandom(16),
            LAST_ROUND,
            tuple(sorted(CoinKey(key.public) for key in keys)),
            tuple(Output(CoinId(output), EXPONENT) for output in outputs),
            NOTHING,
            NOTHING,
            NOTHING,
        )
        return encode_request(sign_order(order, list(keys), os.urandom(16)))

    async def close(self) -> None:
        """Let go of the books."""
        await self.bank.close()
        await self.store.close()


async def open_bench(engine: Engine) -> Bench:
    """With new, empty books."""
    signer = Signer(SigningKey.generate(), Terms())
    store = await engine.open(signer.bank)
    clock = BoardClock(signer.terms, silence_s=1e9)
    clock.heard(1)
    bank = Bank(signer, store, clock)
    await bank.ready()
    return Bench(engine, signer, store, clock, bank)
