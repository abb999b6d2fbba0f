"""
The network of definition 3: parties with real wallets, the real bank on its real store, a board with a real
log, and a clock that stands still while nobody waits.

A *tick* is the network's round and the board's. A *cycle* begins with one transaction input to one party, and
ends when all that it set off is over.
"""

import asyncio
import os
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bank.formats.answer import NO_SUCH_HOLD, Answer, Body
from bank.formats.entry import CertifiedEntry, SpentEntry
from bank.formats.request import BankRequest, encode_request, subject_of
from bank.ledger import Terms
from mixmint.keys import SigningKey
from replyblocks.service import Request
from tests.properties.simon.clock import Aside, VirtualLoop
from tests.properties.simon.network import Asked, Network, Wire
from tests.properties.simon.party import DEPOSIT, WITHDRAW, Input, Party
from tests.properties.simon.tapes import Tapes, drawn_from_tapes
from tests.properties.simon.views import BANK, PUBLIC, View
from tests.unit.wallet.succession import Handover
from tests.unit.wallet.town import Town

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
TICK_S = 1.0
MOST_TICKS = 90
"""k of definition 3: every cycle is over by then, also one in which a hold must lapse."""
TERMS = Terms(hold_rounds=6, promise_rounds=3)


class World:
    """Made by ``new_world``. Its methods are plain calls: each runs the virtual loop as far as it must."""

    def __init__(
        self, folder: Path, tapes: Tapes, terms: Terms, make: type[Town], settings: Mapping[str, Any]
    ) -> None:
        """``make``: the town, which is the bank's side. ``settings``: of wallets."""
        self.folder = folder
        self.settings = settings
        self.tapes = tapes
        self.view = View()
        self.loop = VirtualLoop()
        self.aside = Aside()
        self.network = Network(self.view)
        self.network.bank = self.answer_all
        self.parties: dict[str, Party] = {}
        self.cycle_number = 0
        self.credited = 0
        self._balances: dict[str, int] = {}
        self._public = 0
        self._tasks: set[asyncio.Task[None]] = set()
        with self.tapes.use("B"):
            self.handover = self.aside.run(_open(make, folder, terms))
        self.town = self.handover.town

    # The bank and the board

    def ask_bank(self, bodies: Sequence[bytes]) -> list[bytes]:
        """The honest bank's answers, at once and unseen; what B's own program does with a batch."""
        requests = [Request(bytes(16), body) for body in bodies]
        return list(self.aside.run(self.town.bank.handle(requests)))

    def answer_all(self, batch: Sequence[Asked]) -> None:
        """B: every message of a tick is answered in that tick."""
        if batch:
            answers = self.ask_bank([message.data for message in batch])
            for message, answer in zip(batch, answers, strict=True):
                self.say(message, answer)

    def answer_and_die(self, batch: Sequence[Asked]) -> None:
        """B, whose process ends each time as its answers leave, before it does anything else."""
        self.answer_all(batch)
        if batch:
            self.restart_bank()

    async def ask(self, request: BankRequest) -> Body:
        """What somebody without a wallet asks, over the network; the bank's own answer to it."""
        message = self.network.send(BANK, encode_request(request), os.urandom(16))
        answer = Answer.decode(await message.answer)
        assert answer.holds(self.handover.keys.current, self.handover.keys.id)
        assert answer.subject == subject_of(request, unknown=answer.body == NO_SUCH_HOLD)
        return answer.body

    def say(self, message: Asked, answer: bytes) -> None:
        """The bank's (or a cheating bank's) answer to a message, as both sides see it."""
        self.view.note(self.network.tick, BANK, "answers", message.conversation, answer)
        self.network.reply(message, answer)

    def balance(self, name: str) -> int:
        """bal_i, units."""
        return self.aside.run(self.town.balance(self.parties[name].wallet))

    def close_round(self) -> None:
        """The bank feeds the board, and the board closes a round: the public output."""
        self.aside.run(self.town.tick())
        leaves = self.town.board.maker.leaves
        for leaf in leaves[self._public :]:
            self.view.note(self.network.tick, PUBLIC, "shows", leaf)
        self._public = len(leaves)

    def skip_public(self) -> None:
        """What the board shows by now is no part of the run."""
        self._public = len(self.town.board.maker.leaves)

    def live_units(self) -> int:
        """Certified by the bank and not spent by a holder, as anyone can count from the board."""
        return sum(1 << exponent for exponent in self.live().values())

    def live(self) -> dict[bytes, int]:
        """Exponents of the coins that are certified and unspent on the board; every signature checked."""
        certified: dict[bytes, int] = {}
        spent: set[bytes] = set()
        keys = self.handover.keys
        for place, entry in enumerate(self.town.board.entries()):
            if isinstance(entry, CertifiedEntry) and entry.holds(keys.key_at(place), keys.id):
                if certified.setdefault(entry.coin, entry.exponent) != entry.exponent:
                    raise AssertionError("one coin id was certified for two values")
            elif isinstance(entry, SpentEntry) and entry.holds():
                spent.add(entry.coin)
        return {coin: exponent for coin, exponent in certified.items() if coin not in spent}

    def values(self) -> dict[bytes, int]:
        """Exponents of all coins that the board ever showed, by their ids."""
        entries = self.town.board.entries()
        return {entry.coin: entry.exponent for entry in entries if isinstance(entry, CertifiedEntry)}

    # The parties

    def add(self, name: str, units: int) -> Party:
        """A party with an account that the operator has credited with ``units``."""
        with self.tapes.use(f"start of {name}"):
            party = self.parties[name] = Party(name, self, units)
        self.network.parties[name] = lambda message: self.begin(party.takes(message, self.cycle_number))
        self.credited += units
        self.aside.run(self.town.fund(party.wallet, units))
        self.close_round()
        self.run(party.listen())
        self._balances[name] = units
        return party

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """What a message sets off; the cycle lasts until it is over."""
        task = self.loop.create_task(work)
        self._tasks.add(task)

    # Time

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this, and whatever it sets off, while time passes; then the tick in hand ends."""
        self.loop.run_until_complete(self._run(work))

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        self.begin(work)
        for _ in range(MOST_TICKS):
            # Half a tick after a beat nothing is due at the same moment as a beat.
            await asyncio.sleep(TICK_S / 2)
            self._reap()
            if not self._tasks and self.network.is_quiet:
                break
            await asyncio.sleep(TICK_S / 2)
            self.beat()
        else:
            stuck = [task.get_coro() for task in self._tasks]
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks.clear()
            raise AssertionError(f"not over after {MOST_TICKS} ticks: {stuck}")

    def _reap(self) -> None:
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()

    def beat(self) -> None:
        """One tick."""
        self.network.beat()
        self.close_round()

    def cycle(self, given: Input, meanwhile: Sequence[Callable[[], None]] = ()) -> None:
        """
        One cycle: the input, and what the cheats do beside it, one thing a tick from the first on. At its end
        every party puts out wal and led, and the bank the balances that changed.
        """
        self.cycle_number += 1
        if given.party in self.parties:
            self.view.note(self.network.tick, given.party, "input", given.what, given.units, given.how.value)
        with self.tapes.use(f"payer of {self.cycle_number}"):
            self.run(self._cycle(given, meanwhile))
        for name, party in self.parties.items():
            self.loop.run_until_complete(party.listen())
            self.view.note(self.network.tick, name, "puts out", party.wal(), party.led())
            balance = self.balance(name)
            if balance != self._balances[name]:
                account = party.wallet.purse.account().public
                self.view.note(self.network.tick, BANK, "puts out", account, balance)
                self._balances[name] = balance

    async def _cycle(self, given: Input, meanwhile: Sequence[Callable[[], None]]) -> None:
        self.begin(self.parties[given.party].carry_out(given, self.cycle_number))
        for act in meanwhile:
            act()
            await asyncio.sleep(TICK_S)

    def restart_bank(self) -> None:
        """The bank's process ends and begins again: only what is on disk stays."""
        self.aside.run(_reopen(self.town))

    def recover(self) -> None:
        """
        Definition 6: B or B' is gone, with its key and its books, and a new B with a new key has nothing but
        the public output and the balances.
        """
        with self.tapes.use(f"successor of {self.cycle_number}"):
            self.aside.run(_replace(self.handover, SigningKey.generate()))
        self.network.bank = self.answer_all

    def close(self) -> None:
        self.loop.run_until_complete(_cancel(asyncio.all_tasks(self.loop)))
        self.aside.run(self.town.__aexit__(None, None, None))
        self.aside.close()
        self.loop.close()


async def _open(make: type[Town], folder: Path, terms: Terms) -> Handover:
    town = make(folder, terms)
    await town.__aenter__()
    # Before there are wallets: they know whose signatures change the bank's key.
    return Handover(town)


async def _replace(handover: Handover, new: SigningKey) -> None:
    balances = await handover.list_accounts()
    await handover.lose()
    handover.change(new)
    await handover.recover(new, balances)


async def _cancel(tasks: Collection[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _reopen(town: Town) -> None:
    await town.bank.close()
    await town.store.close()
    town.open_bank()
    await town.feeder.step()


def _tapes(given: Tapes | int) -> Tapes:
    return given if isinstance(given, Tapes) else Tapes(given)


@contextmanager
def new_world(
    tapes: Tapes | int = 0,
    *,
    terms: Terms = TERMS,
    town: type[Town] = Town,
    settings: Mapping[str, Any] | None = None,
    **credited: int,
) -> Iterator[World]:
    """A world with these parties and their credits. The same tapes (or seed) make the same world."""
    with ExitStack() as stack:
        stack.enter_context(drawn_from_tapes())
        memory = MEMORY if MEMORY.is_dir() else None
        folder = stack.enter_context(TemporaryDirectory(dir=memory))
        world = World(Path(folder), _tapes(tapes), terms, town, settings or {})
        stack.callback(world.close)
        for name, units in credited.items():
            world.add(name, units)
        yield world


__all__ = ["DEPOSIT", "MOST_TICKS", "TERMS", "WITHDRAW", "Input", "Party", "Wire", "World", "new_world"]
