"""
A town for wallets: the real bank on its real store, a board by hand on a real log, and wires that can lose
things.

No sockets, no clock: whenever a wallet waits, the board closes a round.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Self

from bank.board.feed import Batch, FeedReceipt, sign_receipt
from bank.board.log.policy import NO_POLICY, Policy
from bank.board.log.reader import LogReader
from bank.board.reading.client import BoardReader
from bank.feeder import Feeder
from bank.formats.entry import CertifiedEntry, Entry, SpentEntry, decode_entry, make_key_entry
from bank.formats.succession import BankKeys
from bank.ledger import Signer, Terms
from bank.ledger.accounts import credit, open_account
from bank.outbox import BoardClock
from bank.service import Bank
from bank.stores.sqlite import SqliteStore, open_books
from mixmint.errors import PendingError, Unavailable, UserError
from mixmint.keys import BoxKey, SigningKey
from mixmint.sealing import Sealer
from replyblocks.envelope import parts_for
from replyblocks.service import Request
from tests.unit.bank.board.logs import LogMaker
from wallet.answers import Bank as BankNames
from wallet.books import Books
from wallet.cashier import Cashier
from wallet.notices.letters import check_room
from wallet.payment_request import ReplyTo
from wallet.purse import CoinState, Purse
from wallet.settings import WalletSettings
from wallet.teller import Teller, nothing

NOW_S = 1_800_000_000.0


class Crash(BaseException):
    """The process ends here, as a kill -9 would end it."""


class PaperBoard:
    """What the bank feeds, in rounds of a real log, and the files that wallets read."""

    def __init__(self, folder: Path) -> None:
        self.maker = LogMaker(folder, SigningKey.generate())
        self.groups: list[Sequence[bytes]] = []
        self.posted: list[bytes] = []
        self.is_down = False
        self.bends: Callable[[list[bytes]], list[bytes]] = lambda entries: entries
        self.close: Callable[[list[bytes]], object] = self.maker.close
        self.publish: Callable[[], object] = self.maker.publish

    @property
    def closed(self) -> int:
        """The newest round."""
        return self.maker.round

    async def feed(self, batch: Batch) -> FeedReceipt:
        if self.is_down:
            raise Unavailable("the board is down")
        wanted = self._next_group
        if self.groups_lost and batch.groups:
            raise Unavailable("the board takes no groups")
        if batch.first == wanted:
            self.groups.extend(batch.groups)
            self._next_group = wanted + len(batch.groups)
        return sign_receipt(self.maker.key, batch.encode(), self._next_group, self.closed + 1, self.closed)

    _next_group = 1

    groups_lost = False
    """Whether the board takes no groups: what the bank feeds stays in its outbox."""

    def begin_feed(self) -> None:
        """The bank's key was changed: the successor's groups are numbered from 1."""
        self.groups, self._next_group = [], 1

    async def post(self, entry: bytes) -> None:
        """What wallets post themselves."""
        if self.is_down:
            raise Unavailable("the board is down")
        self.posted.append(entry)

    def close_round(self) -> None:
        fed = [entry for group in self.groups for entry in group]
        entries = self.bends(sorted([*fed, *self.posted]))
        self.groups, self.posted = [], []
        self.close(entries)
        self.publish()

    def entries(self) -> list[Entry]:
        """Everything that it ever showed."""
        return [decode_entry(leaf) for leaf in self.maker.leaves]


class Files:
    """The board's files, while it is up."""

    name = "the board"

    def __init__(self, board: PaperBoard) -> None:
        self._board = board

    async def read(self, path: str) -> bytes | None:
        if self._board.is_down:
            raise Unavailable("the board can't be reached")
        return self._board.maker.folder.read(path)


class Wire:
    """A wallet's line to the bank. ``fate`` decides what becomes of each question."""

    def __init__(self, town: "Town") -> None:
        self._town = town
        self.asked: list[bytes] = []
        self.answers: dict[bytes, bytes] = {}
        self.bodies: dict[bytes, bytes] = {}
        self.fate: Callable[[], str] = lambda: "both"
        self.bends: Callable[[bytes], bytes] = lambda answer: answer
        self.lifetime_s = 60.0
        self.is_down = False

    async def reach(self) -> None:
        if self.is_down:
            raise Unavailable("the gateway can't be reached")

    async def ask(self, conversation: bytes, body: bytes, expires_s: int, timeout_s: float) -> bytes:
        self._town.asking += 1
        try:
            return await self._asked(conversation, body)
        finally:
            self._town.asking -= 1

    async def _asked(self, conversation: bytes, body: bytes) -> bytes:
        self.asked.append(body)
        # The post refuses another body under the same id, and so would the bank's endpoint.
        assert self.bodies.setdefault(conversation, body) == body
        if conversation in self.answers:
            return self.answers[conversation]
        fate = self.fate()
        if fate != "lost":
            requests = [Request(conversation, body)]
            answer = (await self._town.bank.handle(requests))[0]
            if fate == "twice":
                answer = (await self._town.bank.handle(requests))[0]
            if fate != "no answer":
                self.answers[conversation] = self.bends(answer)
                return self.answers[conversation]
        raise PendingError("no answer came")

    def forget(self, conversation: bytes) -> None:
        self.answers.pop(conversation, None)
        self.bodies.pop(conversation, None)


class Slips:
    """
    A wallet's way back to its payees: reply blocks that work once (``ways``: where each unused one leads), in
    boxes that outlive a process. ``is_down`` keeps what is queued.
    """

    def __init__(self, ways: dict[bytes, list[str]]) -> None:
        self.ways = ways
        self.boxes: dict[int, list[str]] = {}
        self.keys: dict[int, BoxKey] = {}
        self.queued: list[tuple[tuple[bytes, ...], str]] = []
        self.looked: dict[int, int] = {}
        self.is_down = False

    is_loaded = property(lambda self: bool(self.queued))

    def expect(self, about: str, blocks: int) -> tuple[int, ReplyTo]:
        assert about
        number = len(self.keys) + 1
        self.keys[number], self.boxes[number] = BoxKey.generate(), []
        made = tuple(os.urandom(258) for _ in range(blocks))
        self.ways.update(dict.fromkeys(made, self.boxes[number]))
        return number, ReplyTo(self.keys[number].public, made)

    def check(self, reply: ReplyTo) -> None:
        if not set(reply.blocks) & self.ways.keys():
            raise UserError("the request's reply blocks have expired")

    def queue(self, reply: ReplyTo, text: str, *, used: int = 0, last: bool = False) -> int:
        parts = parts_for(len(text.encode()), 0)
        check_room(parts, reply, used)
        left = reply.blocks[used:]
        self.queued.append((left[-parts:] if last else left[:parts], text))
        return parts

    async def carry(self, expected: int = 0) -> None:
        if self.is_down:
            raise Unavailable("the gateway can't be reached")
        for blocks, text in self.queued:
            found = [self.ways.pop(block, None) for block in blocks]
            # A message of two packets is whole or nothing.
            if found[0] is not None and None not in found:
                found[0].append(text)
        self.queued.clear()

    def arrived(self) -> dict[int, list[str]]:
        return {number: box[self.looked.get(number, 0) :] for number, box in self.boxes.items()}

    def keep(self) -> None:
        self.looked = {number: len(box) for number, box in self.boxes.items()}

    def lose_keys(self) -> None:
        """The wallet is restored, in a home whose post is new."""
        self.keys.clear()

    def key(self, number: int) -> BoxKey:
        if number not in self.keys:
            raise UserError(f"there is no message {number}")
        return self.keys[number]


class Town:
    """Make it inside a running loop; close it when done."""

    def __init__(self, folder: Path, terms: Terms | None = None) -> None:
        self.folder = folder
        self.key = SigningKey.generate()
        self.signer = Signer(self.key, terms or Terms(hold_rounds=10, promise_rounds=3))
        self.names = BankNames(BankKeys(self.key.public))
        self.board = PaperBoard(folder / "log")
        self.open_bank()
        self._wires: dict[str, Wire] = {}
        self.asking = 0
        """Questions to the bank that are under way."""
        self._slips: dict[str, Slips] = {}
        self._ways: dict[bytes, list[str]] = {}
        self.open_wallets: list[Wallet] = []

    def open_bank(self) -> None:
        """The bank's process begins, or (after its end) begins again, from what is on disk."""
        self.store = SqliteStore(open_books(self.folder / "bank.db", self.signer.bank))
        self.now_s = NOW_S
        self.clock = BoardClock(self.signer.terms, 1e9, lambda: self.now_s)
        self.bank = Bank(self.signer, self.store, self.clock, verifiers=1)
        entry = make_key_entry(self.key, self.signer.bank).encode()
        self.feeder = Feeder(self.store, self.board, entry, self.clock, pause_s=0, signer=self.signer)

    async def __aenter__(self) -> Self:
        await self.tick()
        return self

    async def __aexit__(self, *_: object) -> None:
        for wallet in self.open_wallets:
            wallet.purse.close()
        await self.bank.close()
        await self.store.close()

    async def tick(self, _: float = 0) -> None:
        """A moment passes: the bank feeds its outbox, and the board closes a round."""
        if not self.board.is_down:
            # A moment that was cut short leaves the feeder asking first; then it feeds.
            await self.feeder.step()
            await self.feeder.step()
            self.board.close_round()
            await self.feeder.step()

    def wallet(
        self,
        name: str,
        *,
        at: Callable[[str], None] = nothing,
        policy: Policy = NO_POLICY,
        **settings: Any,
    ) -> "Wallet":
        """A wallet, made or (as after a crash) opened again."""
        wire = self._wires.setdefault(name, Wire(self))
        slips = self._slips.setdefault(name, Slips(self._ways))
        made = Wallet(self, self.folder / name, wire, slips, at, policy, settings)
        self.open_wallets.append(made)
        return made

    def close(self, wallet: "Wallet") -> None:
        """Drop the process: only what is on disk stays."""
        wallet.purse.close()
        self.open_wallets.remove(wallet)

    async def fund(self, wallet: "Wallet", units: int) -> None:
        """The operator opens the wallet's account and credits it."""
        key = wallet.purse.account().public
        await self.store.run(lambda book: open_account(self.signer.bank, key, book))
        await self.store.run(lambda book: credit(self.signer.bank, key, units, book))

    async def fund_again(self, wallet: "Wallet", units: int) -> None:
        """The operator credits the account once more."""
        key = wallet.purse.account().public
        await self.store.run(lambda book: credit(self.signer.bank, key, units, book))

    async def balance(self, wallet: "Wallet") -> int:
        """The account's balance on the bank's books."""
        account = await self.store.run(lambda book: book.account(wallet.purse.account().public))
        return account.balance if account else 0

    def outstanding_by(self, keys: BankKeys) -> int:
        """As ``outstanding``, of certificates by the key that counts at their place."""
        spent: set[bytes] = set()
        certified: dict[bytes, int] = {}
        for index, leaf in enumerate(self.board.maker.leaves):
            entry = decode_entry(leaf)
            if isinstance(entry, SpentEntry):
                spent.add(entry.coin)
            elif isinstance(entry, CertifiedEntry) and entry.holds(keys.key_at(index), keys.id):
                assert certified.setdefault(entry.coin, entry.exponent) == entry.exponent
        return sum(1 << exponent for coin, exponent in certified.items() if coin not in spent)

    def outstanding(self) -> int:
        """Units on the board: certified and not spent."""
        entries = self.board.entries()
        spent = {entry.coin for entry in entries if isinstance(entry, SpentEntry)}
        certified = [entry for entry in entries if isinstance(entry, CertifiedEntry)]
        ids = [entry.coin for entry in certified]
        assert len(ids) == len(set(ids))
        return sum(1 << entry.exponent for entry in certified if entry.coin not in spent)


class Wallet:
    """A wallet's process."""

    def __init__(
        self,
        town: Town,
        home: Path,
        wire: Wire,
        slips: Slips,
        at: Callable[[str], None],
        policy: Policy,
        settings: dict[str, Any],
    ) -> None:
        home.mkdir(exist_ok=True)
        self.town = town
        self.home = home
        self.wire = wire
        self.slips = slips
        sealer = Sealer(bytes(32))
        path = home / "wallet.db"
        make = Purse if path.exists() else Purse.create
        self.purse = make(path, sealer, town.names.id)
        chosen = {"poll_s": 0.01, "settle_wait_s": 1.5} | settings
        self.settings = WalletSettings(**chosen)
        self.books = Books(self.purse, town.names, home / "evidence")
        self.rng = Random(1)
        self.log = LogReader(Files(town.board), town.board.maker.verifier, policy)
        self.teller = Teller(
            self.books,
            wire,
            BoardReader(self.log),
            self.settings,
            answer_wait_s=5.0,
            now_s=lambda: town.now_s,
            claims=town.board,
            sleep=town.tick,
            at=at,
        )
        self.cashier = Cashier(
            self.teller,
            self.settings,
            stock_wait_s=0,
            pay_spread_s=self.settings.pay_spread_s or 0.0,
            now_s=lambda: town.now_s,
            rng=self.rng,
            letters=slips,
            log=self.log,
        )

    def units(self, *states: CoinState) -> int:
        """What this wallet has in these states (free, unless named)."""
        return sum(coin.units for coin in self.purse.coins(*(states or (CoinState.FREE,))).values())

    def values(self) -> list[int]:
        """The free coins' values, ascending."""
        return sorted(coin.units for coin in self.purse.coins(CoinState.FREE).values())
