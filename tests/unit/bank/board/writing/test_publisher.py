"""writing/publisher.py: whatever fails, however often, the log grows as one tree, and nothing is lost."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bank.board.feed import Batch
from bank.board.log.checkpoint import Checkpoint, open_checkpoint
from bank.board.log.folder import TileFolder
from bank.board.log.note import KeyKind, Note, VerifierKey, cosign_text
from bank.board.log.tiles import tiles_of
from bank.board.log.tree import consistency_holds, consistency_spans, leaf_hash, root_of, span_hash
from bank.board.rounds import check_round, is_mark
from bank.board.writing.journal import ClosedRound
from bank.board.writing.publisher import Publisher, Step, growth_proofs
from bank.board.writing.store import BoardStore
from mixmint.errors import FatalError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.conftest import KEY, LOG, ORIGIN, Mint

MINT = Mint()
Fault = Callable[[Step, bool], None]


class Failing:
    """Fails once, the ``turn``-th time at a step: before it is done, or as if it had failed though it is."""

    def __init__(self, step: Step, done: bool, turn: int = 1) -> None:
        self.at = (step, done)
        self.turn = turn

    @property
    def failed(self) -> bool:
        return self.turn == 0

    def __call__(self, step: Step, done: bool) -> None:
        if (step, done) == self.at and self.turn:
            self.turn -= 1
            if not self.turn:
                raise UserError("it failed, says the test")


class Signed:
    """Every checkpoint that anyone ever could see: asked of witnesses, or published."""

    def __init__(self, folder: TileFolder) -> None:
        self.seen: list[Checkpoint] = []
        self._folder = folder

    async def gather(self, note: Note, size: int) -> Note:
        self.see(note)
        return note

    async def check_start(self, note: Note, size: int) -> bool:
        self.see(note)
        return True

    def see(self, note: Note | None) -> None:
        if note is not None:
            self.seen.append(open_checkpoint(note, LOG))

    def check(self) -> None:
        """They are one growing log, each of them proved by the files as they are now."""
        self.see(self._folder.checkpoint())
        newest = max(self.seen, key=lambda checkpoint: checkpoint.size)
        for one in self.seen:
            spans = consistency_spans(one.size, newest.size)
            proof = [span_hash(span, lambda node: self._folder.node(node, newest.size)) for span in spans]
            assert consistency_holds(one.size, one.root, newest.size, newest.root, proof), one
        sizes = [one.size for one in self.seen]
        assert sizes == sorted(sizes)


@asynccontextmanager
async def board(
    path: Path, signed: Signed, fault: Fault | None = None, round_entries: int = 1000
) -> AsyncIterator[tuple[BoardStore, Publisher]]:
    """A store and a publisher as the daemon starts them, on the same files each time."""
    folder = TileFolder(path / "log")
    store = BoardStore(path / "board.db", folder, round_entries)
    publisher = Publisher(store, folder, KEY, ORIGIN, **({"fault": fault} if fault else {}))
    publisher.cosigners = signed
    await publisher.start()
    try:
        yield store, publisher
    finally:
        await store.close()


async def feed(store: BoardStore, first: int, count: int) -> int:
    """Groups of two entries; the next number."""
    groups = [[MINT.certified(2 * n), MINT.certified(2 * n + 1)] for n in range(first, first + count)]
    taken = await store.take(Batch(first, groups).encode())
    assert taken.taken
    return taken.next_group


async def publish(publisher: Publisher, now_s: float) -> ClosedRound:
    """As the board's loop: again after a failure."""
    while True:
        try:
            return await publisher.publish(now_s)
        except UserError:
            continue


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def publish_until_it_fails(publisher: Publisher, full: int = 0) -> None:
    """A step that is done already isn't done again: then the next round's fails."""
    for now_s in range(102, 106):
        await publisher.publish(now_s, full)


def shown(folder: TileFolder) -> list[list[bytes]]:
    """The rounds under the published checkpoint, once everything that can be checked of them is."""
    checkpoint = open_checkpoint(folder.checkpoint(), LOG)
    leaves = [leaf for _, part in folder.entries(0, checkpoint.size, checkpoint.size) for leaf in part]
    assert root_of([leaf_hash(leaf) for leaf in leaves]) == checkpoint.root
    rounds, first, closed_s = [], 0, 0
    for index, leaf in enumerate(leaves, start=1):
        if is_mark(leaf):
            closed_s = check_round(leaves[first:index], len(rounds) + 1, first, closed_s).closed_at_s
            rounds.append(leaves[first : index - 1])
            first = index
    assert first == len(leaves)
    for tile in tiles_of(checkpoint.size):
        folder.tile(tile)
    return rounds


FAULTS = [(step, done) for step in Step for done in (False, True)]
IDS = [f"{step}-{'but persisted' if done else 'failed'}" for step, done in FAULTS]


@pytest.mark.parametrize(("step", "done"), FAULTS, ids=IDS)
@pytest.mark.parametrize("then", ["go on", "reload", "reload twice"])
async def test_a_step_that_fails_neither_forks_nor_loses_nor_doubles(
    tmp_path: Path, step: Step, done: bool, then: str
) -> None:
    """
    In the third of four rounds, over the edge of a tile. "Failed" and "failed but persisted", then the same
    process goes on, or another starts on the same files, and fails the same way once more.
    """
    signed = Signed(TileFolder(tmp_path / "log"))
    number = 1
    async with board(tmp_path, signed) as (store, publisher):
        for now_s in (100, 101):
            number = await feed(store, number, 50)
            await publisher.publish(now_s)
    faults = {"go on": 1, "reload": 1, "reload twice": 2}[then]
    number_before = number
    for attempt in range(faults):
        fault = Failing(step, done)
        async with board(tmp_path, signed, fault) as (store, publisher):
            if not attempt:
                number = await feed(store, number, 50)
            with pytest.raises(UserError, match="says the test"):
                await publish_until_it_fails(publisher)
            # What comes in the meantime is for the round after, unless nothing of this one was fixed.
            number = await feed(store, number, 3)
            if then == "go on":
                await publish(publisher, 110)
                await publish(publisher, 111)
    async with board(tmp_path, signed) as (store, publisher):
        while (await store.read(lambda db: db.execute("SELECT count(*) FROM waiting").fetchone())) != (0,):
            await publish(publisher, 120)
        await publish(publisher, 121)
    signed.check()
    rounds = shown(TileFolder(tmp_path / "log"))
    assert sorted(entry for entries in rounds for entry in entries) == sorted(
        MINT.certified(n) for n in range(2, 2 * number)
    )
    assert [len(entries) for entries in rounds[:2]] == [100, 100]
    assert len(rounds[2]) >= 100
    assert number > number_before


@pytest.mark.parametrize(("step", "done"), FAULTS, ids=IDS)
async def test_an_empty_round_that_fails_counts_once(tmp_path: Path, step: Step, done: bool) -> None:
    """Also the very first, when there is no checkpoint yet but the empty one."""
    signed = Signed(TileFolder(tmp_path / "log"))
    async with board(tmp_path, signed, Failing(step, done)) as (_, publisher):
        with pytest.raises(UserError):
            await publisher.publish(100)
    async with board(tmp_path, signed) as (store, publisher):
        await publish(publisher, 101)
        expected = 2 if step is Step.CLEAN or (step, done) == (Step.PUBLISH, True) else 1
        assert store.newest.number == expected
    signed.check()
    assert shown(TileFolder(tmp_path / "log")) == [[]] * expected


@pytest.mark.parametrize(("step", "done"), FAULTS, ids=IDS)
@pytest.mark.parametrize("then", ["go on", "reload"])
@pytest.mark.parametrize("turn", [1, 2, 3])
async def test_under_load_a_step_that_fails_while_the_next_round_is_ahead_does_no_harm(
    tmp_path: Path, step: Step, done: bool, then: str, turn: int
) -> None:
    """Six rounds are full, so each is sequenced while the one before is on its way; both are found again."""
    signed = Signed(TileFolder(tmp_path / "log"))
    fault, full = Failing(step, done, turn), 6
    async with board(tmp_path, signed, fault, round_entries=100) as (store, publisher):
        number = await feed(store, 1, 50 * full)
        with pytest.raises(UserError, match="says the test"):
            await publish_until_it_fails(publisher, full)
        assert fault.failed
        number = await feed(store, number, 3)
        while then == "go on" and store.newest.number < full:
            await publisher.publish(101, full)
    async with board(tmp_path, signed, round_entries=100) as (store, publisher):
        while store.newest.number < full:
            await publisher.publish(102, full)
        for n in range(2, 2 * 50 * full, 37):
            (placed,) = await store.coin(MINT.coin(n))
            assert placed.entry == MINT.certified(n)
        await publisher.publish(103)
        totals = store.newest.totals
        assert (totals.coins, totals.repeats) == (2 * (number - 1), 0)
    signed.check()
    rounds = shown(TileFolder(tmp_path / "log"))
    assert [len(entries) for entries in rounds] == [100] * full + [6]
    assert sorted(entry for entries in rounds for entry in entries) == sorted(
        MINT.certified(n) for n in range(2, 2 * number)
    )


async def test_a_round_is_sequenced_while_the_one_before_is_published(tmp_path: Path) -> None:
    """Only when it is full: an open one must stay open."""
    steps: list[tuple[Step, bool]] = []
    signed = Signed(TileFolder(tmp_path / "log"))
    note = lambda step, done: steps.append((step, done))  # noqa: E731 - as short as it is
    async with board(tmp_path, signed, note, round_entries=100) as (store, publisher):
        await feed(store, 1, 110)
        await publisher.publish(100, 2)
        assert steps.count((Step.SEQUENCE, False)) == 2
        steps.clear()
        await publisher.publish(100, 2)
        assert steps.count((Step.SEQUENCE, False)) == 0
        await publisher.publish(100, 2)
        assert store.newest.count == 20


async def test_a_signature_is_shown_to_nobody_before_it_is_the_newest(tmp_path: Path) -> None:
    """Until the compare-and-swap has passed, the log might still go on otherwise."""
    signed = Signed(TileFolder(tmp_path / "log"))
    for step in (Step.SEQUENCE, Step.TILES, Step.COMMIT):
        async with board(tmp_path, signed, Failing(step, True)) as (store, publisher):
            with pytest.raises(UserError):
                await publisher.publish(100)
            assert all(one.size == 0 for one in signed.seen)
            assert store.newest.number == 0
            assert open_checkpoint(TileFolder(tmp_path / "log").checkpoint(), LOG).size == 0


async def test_partial_tiles_go_when_full_ones_are_there(tmp_path: Path) -> None:
    """Else they would soon be most of the files."""
    signed = Signed(TileFolder(tmp_path / "log"))
    number = 1
    for _ in range(3):
        # A restart between rounds leaves nothing behind either.
        async with board(tmp_path, signed) as (store, publisher):
            for now_s in range(3):
                number = await feed(store, number, 50)
                await publisher.publish(now_s)
    names = files_below(tmp_path)
    assert {path.parent.name for path in names if path.parent.suffix == ".p"} == {"003.p", "000.p"}
    assert not [path for path in names if path.suffix == ".new"]


async def test_cosignatures_are_published_with_the_checkpoint(tmp_path: Path) -> None:
    """What witnesses gave is in the file that readers fetch, and on the board's own page."""
    witness = SigningKey(b"w" * 32)
    verifier = VerifierKey("w1", witness.public, KeyKind.WITNESS)

    class One(Signed):
        async def gather(self, note: Note, size: int) -> Note:
            return note.plus([cosign_text(witness, "w1", note.text, 7)])

    async with board(tmp_path, One(TileFolder(tmp_path / "log"))) as (_, publisher):
        await publisher.publish(100)
        note = TileFolder(tmp_path / "log").checkpoint()
        assert set(note.signed_by([LOG, verifier])) == {LOG, verifier}
        assert [(number, one) for number, one in publisher.recent] == [(1, note)]
    async with board(tmp_path, One(TileFolder(tmp_path / "log"))) as (_, publisher):
        assert list(publisher.recent) == [(1, note)]


async def test_a_witness_that_knows_more_stops_the_start(tmp_path: Path) -> None:
    """Database and files may both come from one old backup; only others can know."""

    class Ahead(Signed):
        async def check_start(self, note: Note, size: int) -> bool:
            raise FatalError(f"witness w1 has seen more than {size} leaves")

    signed = Signed(TileFolder(tmp_path / "log"))
    async with board(tmp_path, signed) as (_, publisher):
        await publisher.publish(100)
    with pytest.raises(FatalError, match="more than 1 leaves"):
        async with board(tmp_path, Ahead(TileFolder(tmp_path / "log"))):
            pass


async def test_nothing_is_signed_before_enough_witnesses_were_heard(tmp_path: Path) -> None:
    """
    The board starts while its witnesses are away, to be read. Had it been restored from an old copy, its next
    signature would be of a second past; so it waits until they say that its newest checkpoint is the newest.
    """

    class Away(Signed):
        there = False

        async def check_start(self, note: Note, size: int) -> bool:
            return False

        async def gather(self, note: Note, size: int) -> Note:
            if not self.there:
                raise FatalError(f"w1 has seen more than {size} leaves")
            return await super().gather(note, size)

    folder = TileFolder(tmp_path / "log")
    async with board(tmp_path, Signed(folder)) as (_, publisher):
        await publisher.publish(100)
    async with board(tmp_path, Away(folder)) as (store, publisher):
        with pytest.raises(FatalError, match="w1 has seen more than 1 leaves"):
            await publisher.publish(200)
        ((size,),) = await store.read(lambda db: db.execute("SELECT count(*) FROM rounds").fetchall())
        assert size == 1
        publisher.cosigners.there = True
        assert (await publisher.publish(200)).number == 2
        assert [one.size for one in publisher.cosigners.seen] == [1, 2]


async def test_growth_is_proved_from_the_files(tmp_path: Path) -> None:
    """What witnesses are given."""
    signed = Signed(TileFolder(tmp_path / "log"))
    async with board(tmp_path, signed) as (store, publisher):
        number = 1
        for now_s in range(4):
            number = await feed(store, number, 70)
            await publisher.publish(now_s)
        old, new = signed.seen[-3], signed.seen[-1]
        proof = await growth_proofs(TileFolder(tmp_path / "log"))(old.size, new.size)
    assert consistency_holds(old.size, old.root, new.size, new.root, proof)
