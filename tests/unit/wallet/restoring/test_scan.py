"""A wallet from its seed and the board alone: whatever was lost, what the board shows comes back."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.log.tiles import ENTRIES, Tile
from bank.board.reading.client import BoardReader, Cursor
from bank.formats.coin import bank_id, sign_certificate
from bank.formats.entry import (
    CertifiedEntry,
    KeyChangeEntry,
    SpentEntry,
    StatementEntry,
    make_replaced_entry,
)
from bank.formats.order import SPEND_LABEL
from bank.formats.statement import Row, Tally, sign_statement
from bank.formats.succession import BankKeys, Cut, KeyChange
from mix.directory import Authorities
from mixmint.errors import MalformedMessage, PeerError
from mixmint.keys import SigningKey
from mixmint.sealing import Sealer
from tests.unit.bank.board.logs import LogMaker
from tests.unit.wallet.town import Crash, Town, Wallet
from wallet.anonymity.crowd import Crowd
from wallet.answers import Bank
from wallet.derivation import Purpose, derive
from wallet.purse import CoinState, Purse
from wallet.restoring.deriving import id_of
from wallet.restoring.reading import BareReader
from wallet.restoring.scan import Scan
from wallet.restoring.state import Restoring
from wallet.restoring.table import FIRST
from wallet.restoring.workers import Workers

SEED = b"\x05" * 32
AHEAD = 700
"""How far these tests look, instead of 2^20."""


class Ledger:
    """A bank and a board by hand: coins certified and spent at any counter of a seed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.page_leaves = 1000
        self.founding = SigningKey.generate()
        self.bank = bank_id(self.founding.public)
        self.key = self.founding
        self.authority = SigningKey.generate()
        self.maker = LogMaker(folder / "log", SigningKey.generate())
        self.close([])

    def secret(self, place: tuple[int, int, int]) -> SigningKey:
        device, purpose, counter = place
        return SigningKey(derive(SEED, self.bank, device, Purpose(purpose), counter))

    def certified(self, place: tuple[int, int, int], exponent: int = 3) -> bytes:
        device, purpose, counter = place
        coin = id_of(SEED, self.bank, device, Purpose(purpose), counter)
        certificate = sign_certificate(self.key, self.bank, exponent, 1, coin)
        return CertifiedEntry(coin, exponent, 1, certificate).encode()

    def posted(self, place: tuple[int, int, int]) -> bytes:
        return b"\x07" + self.certified(place)[1:]

    def spent(self, place: tuple[int, int, int]) -> bytes:
        key = self.secret(place)
        return SpentEntry(key.public, bytes(32), key.sign(SPEND_LABEL, bytes(32))).encode()

    def stated(
        self, sequence: int, unspent: dict[tuple[int, int], int], key: SigningKey | None = None
    ) -> bytes:
        """The bank's statement of so many unspent coins of each exponent and epoch."""
        rows = [Row(*kind, Tally(withdrawn=count)) for kind, count in unspent.items()]
        rows.sort(key=lambda row: (row.exponent, row.epoch))
        root, totals = bytes(32), Tally()
        statement = sign_statement(key or self.key, self.bank, sequence, 9, root, totals, rows)
        return StatementEntry(statement).encode()

    def close(self, entries: list[bytes]) -> None:
        self.maker.close(entries)
        self.maker.publish()

    def changed(self, cut: int) -> bytes:
        """The authorities replace the key, as of the log's first ``cut`` leaves."""
        old, self.key = self.key, SigningKey.generate()
        change = KeyChange(self.bank, 1, old.public, self.key.public, Cut(cut, bytes(32)), 10)
        return KeyChangeEntry(change.signed_by(self.authority)).encode()

    @property
    def names(self) -> Bank:
        return Bank(BankKeys(self.founding.public), Authorities((self.authority.public,), 1))

    def purse(self, device: int = 0) -> Purse:
        path = self.folder / "wallet.db"
        sealer = Sealer(bytes(32))
        if path.exists():
            return Purse(path, sealer, self.bank)
        return Purse.create(path, sealer, self.bank, SEED, restoring=Restoring(device=device).encode())

    def scan(self, purse: Purse, at: Callable[[str], None] = lambda _: None) -> Scan:
        log = LogReader(FolderSource(self.folder / "log"), self.maker.verifier)
        reader = BareReader(log, self.page_leaves)
        workers = Workers(SEED, self.bank, 0)
        return Scan(purse, reader, self.names, workers, at=at, most_ahead=AHEAD)

    async def restore(self, device: int = 0) -> Purse:
        purse = self.purse(device)
        async with self.scan(purse) as scan:
            await scan.near()
            await scan.deep()
        return purse


@pytest.fixture
def ledger(folder: Path) -> Ledger:
    return Ledger(folder)


def states(purse: Purse) -> dict[tuple[int, int, int], CoinState]:
    """What is known of each place that isn't only watched."""
    coins = purse.coins().values()
    return {
        (coin.device, coin.purpose, coin.counter): coin.state
        for coin in coins
        if coin.state is not CoinState.VOID
    }


async def test_coins_come_back_free_or_spent(ledger: Ledger) -> None:
    """Every purpose, each judged by what the board says last; a taken-back coin is gone."""
    places = [(0, 1, 0), (0, 2, 0), (0, 3, 0), (0, 1, 1), (0, 1, 2), (0, 1, 3)]
    ledger.close([ledger.certified(place) for place in places[:4]] + [ledger.posted(places[4])])
    ledger.close([ledger.certified(places[5]), ledger.spent(places[3]), ledger.spent(places[5])])
    coin = ledger.certified(places[4])[1:33]
    ledger.close([make_replaced_entry(ledger.key, ledger.bank, coin, 3, 1).encode()])
    purse = await ledger.restore()
    free, spent = CoinState.FREE, CoinState.SPENT
    assert states(purse) == dict(zip(places, [free, free, free, spent, spent, spent], strict=True))
    for record in purse.coins(CoinState.FREE).values():
        assert record.coin().certificate
        assert (record.units, record.exchanges, record.round) == (8, 0, 2)
        assert record.recognisable == (record.purpose == Purpose.INVOICE)
        assert record.beside == 5
    purse.close()


async def test_restored_wallet_knows_how_many_coins_look_alike(ledger: Ledger) -> None:
    """
    Of an old epoch the bank stated its count once, long ago: who begins at the newest round never hears of
    it. A restore reads the whole board, and counts as a wallet does that was there all the time.
    """
    place = (0, 3, 0)
    ledger.close([ledger.certified(place), ledger.stated(1, {(3, 1): 40, (2, 1): 7})])
    ledger.close([ledger.stated(2, {(2, 1): 9}), ledger.certified((0, 3, 1)), ledger.certified((0, 3, 2), 2)])
    ledger.close([ledger.spent((0, 3, 2)), ledger.stated(3, {(5, 1): 1}, SigningKey.generate())])
    ledger.close([ledger.certified((0, 3, 5), 2)])
    ledger.page_leaves = 2
    purse = await ledger.restore()
    stored = purse.fact("crowd")
    assert stored is not None
    reader = BoardReader(LogReader(FolderSource(ledger.folder / "log"), ledger.maker.verifier))
    crowd = Crowd().after(await reader.rounds(Cursor(), 100), ledger.names)
    assert Crowd.decode(stored) == crowd
    assert crowd.alike() == {(3, 1): 41, (2, 1): 10}
    purse.close()


async def test_coins_far_apart_are_found(ledger: Ledger) -> None:
    """Just within the promised distance of the last hit, one after the other; none beyond."""
    found = [(0, 1, AHEAD - 1), (0, 1, 2 * AHEAD - 1), (0, 3, AHEAD - 1)]
    missed = [(0, 2, AHEAD), (0, 1, 3 * AHEAD)]
    # In any order on the board: the deep search doesn't mind.
    ledger.close([ledger.certified(place) for place in missed])
    ledger.close([ledger.certified(found[1])])
    ledger.close([ledger.certified(found[0]), ledger.certified(found[2])])
    ledger.close([ledger.spent(found[1])])
    purse = await ledger.restore()
    assert states(purse).keys() == set(found)
    assert states(purse)[found[1]] is CoinState.SPENT
    purse.close()


async def test_every_device_in_use_is_found_and_a_new_number_taken(ledger: Ledger) -> None:
    """A gap among the numbers is bridged; the next device is above the highest."""
    places = [(0, 1, 0), (4, 2, FIRST - 1), (9, 3, 1), (9, 2, AHEAD - 1), (9, 2, AHEAD + 20)]
    for place in places:
        ledger.close([ledger.certified(place)])
    purse = await ledger.restore()
    assert states(purse).keys() == set(places)
    assert purse.device == 10
    with purse.transaction():
        (output,) = purse.expect(Purpose.EXCHANGE, [0], 1)
    assert output.coin == id_of(SEED, ledger.bank, 10, Purpose.EXCHANGE, 0)
    purse.close()


async def test_wished_device_is_taken_and_those_below_looked_at(ledger: Ledger) -> None:
    """``--device``."""
    ledger.close([ledger.certified((90, 1, 0))])
    purse = await ledger.restore(90)
    assert states(purse).keys() == {(90, 1, 0)}
    assert purse.device == 91
    purse.close()


async def test_empty_board_gives_an_empty_wallet(ledger: Ledger) -> None:
    """Nothing found is no error; the device isn't 0 all the same."""
    purse = await ledger.restore()
    assert (states(purse), purse.device) == ({}, 1)
    purse.close()


async def test_false_entries_are_not_believed(ledger: Ledger) -> None:
    """Somebody who knows our ids can't make coins of them, nor spend one: only signatures count."""
    place, other = (0, 1, 0), (0, 1, 1)
    ledger.key = SigningKey.generate()
    false = ledger.certified(place)
    ledger.key = ledger.founding
    spent = bytearray(ledger.spent(other))
    spent[-1] ^= 1
    ledger.close([false, ledger.certified(other)])
    ledger.close([bytes(spent)])
    purse = await ledger.restore()
    assert states(purse) == {other: CoinState.FREE}
    purse.close()


@pytest.mark.parametrize("killed", [False, True])
async def test_old_keys_coins_count_up_to_the_cut(ledger: Ledger, killed: bool) -> None:
    """What a stolen key certified behind the cut is nothing, although it was read before the change was."""
    before, behind, after, late = (0, 1, 0), (0, 1, 1), (0, 1, 2), (0, 1, 3)
    ledger.close([ledger.certified(before)])
    cut = ledger.maker.edge.size
    ledger.close([ledger.certified(behind)])
    old = ledger.certified(late)
    ledger.close([ledger.changed(cut)])
    ledger.close([ledger.certified(after), old])
    ledger.page_leaves = 2
    if killed:
        # Once the change has been read.
        assert await kill_at(ledger, "page-written", 5)
    purse = await ledger.restore()
    assert states(purse).keys() == {before, after}
    purse.close()


async def kill_at(ledger: Ledger, step: str, time: int) -> bool:
    """A restore whose process ends when a step is reached; whether it was."""
    left = time

    def at(reached: str) -> None:
        nonlocal left
        left -= reached == step
        if not left:
            raise Crash

    purse = ledger.purse()
    try:
        async with ledger.scan(purse, at) as scan:
            await scan.near()
            await scan.deep()
    except Crash:
        return True
    finally:
        purse.close()
    return False


@pytest.mark.parametrize(
    ("step", "time"),
    [("page-written", 1), ("page-written", 2), ("page-written", 5), ("near-over", 1), ("deep-over", 1)],
)
async def test_restore_goes_on_after_a_kill(ledger: Ledger, step: str, time: int) -> None:
    """Finds and place on the board are written together: nothing is missed, nothing counted twice."""
    ledger.page_leaves = 3
    places = [(0, 1, counter) for counter in range(6)] + [(0, 2, AHEAD - 5)]
    for place in places:
        ledger.close([ledger.certified(place)])
    ledger.close([ledger.spent(places[0]), ledger.spent(places[-1])])
    assert await kill_at(ledger, step, time)
    purse = ledger.purse()
    if Restoring.of(purse) is not None:
        async with ledger.scan(purse) as scan:
            await scan.near()
            await scan.deep()
    spent = {place for place, state in states(purse).items() if state is CoinState.SPENT}
    assert states(purse).keys() == set(places)
    assert spent == {places[0], places[-1]}
    assert purse.device == 1
    assert Restoring.of(purse) is None
    purse.close()


async def test_damaged_log_ends_the_restore_and_nothing_of_the_page_is_written(ledger: Ledger) -> None:
    """Files that don't lead to the board's checkpoint are nobody's word."""
    ledger.close([ledger.certified((0, 1, 0))])
    bundle = ledger.folder / "log" / Tile(ENTRIES, 0, ledger.maker.edge.size).path()
    data = bytearray(bundle.read_bytes())
    data[60] ^= 1
    bundle.write_bytes(data)
    purse = ledger.purse()
    async with ledger.scan(purse) as scan:
        with pytest.raises(PeerError):
            await scan.near()
    assert purse.coins() == {}
    assert purse.fact("cursor") is None
    purse.close()


async def test_round_without_end_is_refused(ledger: Ledger) -> None:
    """A board that never ends a round would fill the memory."""
    ledger.maker.append([ledger.certified((0, 1, 0))])
    ledger.maker.publish()
    purse = ledger.purse()
    async with ledger.scan(purse) as scan:
        with pytest.raises(MalformedMessage):
            await scan.near()
    purse.close()


async def test_empty_leaf_is_refused(ledger: Ledger) -> None:
    """No entry is empty: a board that has one breaks its rules, and nothing else breaks."""
    ledger.close([b"", ledger.certified((0, 1, 0))])
    purse = ledger.purse()
    async with ledger.scan(purse) as scan:
        with pytest.raises(MalformedMessage):
            await scan.near()
    assert purse.coins() == {}
    purse.close()


async def test_processes_derive_what_one_derives(ledger: Ledger) -> None:
    """The same finds with workers; they end with the restore."""
    ledger.close([ledger.certified((0, 3, AHEAD - 1))])
    purse = ledger.purse()
    reader = BareReader(LogReader(FolderSource(ledger.folder / "log"), ledger.maker.verifier))
    async with Workers(SEED, ledger.bank, 2) as workers:
        scan = Scan(purse, reader, ledger.names, workers, most_ahead=AHEAD)
        async with scan:
            await scan.near()
            await scan.deep()
    assert states(purse).keys() == {(0, 3, AHEAD - 1)}
    purse.close()


async def restored(town: Town, lost: Wallet, name: str) -> Wallet:
    """A wallet from the seed of another one and the town's board."""
    seed = lost.purse.reveal_seed()
    home = town.folder / name
    home.mkdir()
    purse = Purse.create(
        home / "wallet.db", Sealer(bytes(32)), town.names.id, seed, restoring=Restoring().encode()
    )
    reader = BareReader(LogReader(FolderSource(town.board.maker.folder.path), town.board.maker.verifier))
    async with Scan(purse, reader, town.names, Workers(seed, town.names.id, 0), most_ahead=AHEAD) as scan:
        await scan.near()
        await scan.deep()
    purse.close()
    return town.wallet(name)


async def test_restored_wallet_lives_on(town: Town) -> None:
    """It has what the lost one had, pays, withdraws; a request that was open then is paid all the same."""
    ann, bob = town.wallet("ann"), town.wallet("bob")
    await town.fund(ann, 40)
    await ann.cashier.withdraw(21)
    await ann.cashier.exchange(5)
    (_, first), (_, open_one) = [await ann.cashier.request(2, "") for _ in range(2)]
    await town.fund(bob, 4)
    await bob.cashier.withdraw(4)
    await bob.cashier.pay(first, now=True)
    await ann.teller.sync()
    assert ann.units() == 23
    again = await restored(town, ann, "again")
    assert (again.units(), again.purse.device) == (23, 1)
    _, request = await bob.cashier.request(9, "")
    await again.cashier.pay(request, now=False)
    await again.cashier.withdraw(10)
    await bob.cashier.pay(open_one, now=True)
    await again.teller.sync()
    assert again.units() == 23 - 9 + 10 + 2
    assert await town.balance(again) == 9
    # The lost one turns up, and sees it all.
    await ann.teller.sync()
    assert ann.units() == again.units()
    assert again.books.evidence() == ann.books.evidence() == []


async def test_handed_over_coins_show_as_ours_again(town: Town) -> None:
    """What a restore can't know: a bearer file that nobody has exchanged. Whoever is first has the coin."""
    ann, bob = town.wallet("ann"), town.wallet("bob")
    await town.fund(ann, 8)
    await ann.cashier.withdraw(8)
    await ann.cashier.hand_over(8, town.folder / "coins.txt", now=True)
    again = await restored(town, ann, "again")
    assert (ann.units(), again.units()) == (0, 8)
    from wallet.bearer import read_bearer

    await bob.cashier.receive(read_bearer(town.folder / "coins.txt"))
    await again.teller.sync()
    assert (again.units(), bob.units()) == (0, 8)
    assert again.units(CoinState.LOST) == 0
