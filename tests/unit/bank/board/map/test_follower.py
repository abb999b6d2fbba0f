"""The map's files follow the log's, through every kind of damage."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bank.board.log.folder import TileFolder
from bank.board.map.file import HEADER_BYTES, files_in
from bank.board.map.follower import Follower
from bank.board.map.proof import MapProof
from bank.board.map.states import State
from bank.formats.coin import coin_id
from bank.formats.entry import CertifiedEntry, ReplacedEntry, SpentEntry
from mixmint.errors import FatalError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.logs import LogMaker
from tests.unit.bank.board.map.maps import Coins, root_of
from tests.unit.bank.board.map.test_file import damage

KEY = SigningKey(b"k" * 32)


def secret(number: int) -> bytes:
    """Stands for a coin's public key."""
    return b"coin" + number.to_bytes(28)


def certified(number: int) -> bytes:
    return CertifiedEntry(coin_id(secret(number)), 0, 1, bytes(64)).encode()


def spent(number: int) -> bytes:
    return SpentEntry(secret(number), bytes(32), bytes(64)).encode()


class World:
    """A log that grows, and what its map should be after each round."""

    def __init__(self, folder: Path) -> None:
        self.maker = LogMaker(folder / "log", KEY)
        self.maps = folder / "map"
        self.coins: Coins = {}
        self.expected: dict[int, tuple[int, int, bytes]] = {}

    @property
    def size(self) -> int:
        return self.maker.edge.size

    def close(self, *, made: range = range(0), used: range = range(0)) -> int:
        """A round; the log's size after it."""
        self.maker.close([*map(certified, made), *map(spent, used)])
        self.coins |= {coin_id(secret(number)): 1 for number in made}
        self.coins |= {coin_id(secret(number)): 2 for number in used}
        self.expected[self.size] = (self.size, len(self.coins), root_of(self.coins))
        return self.size

    def follower(self, step_leaves: int = 1 << 18) -> Follower:
        return Follower(self.maps, TileFolder(self.maker.folder.path), step_leaves=step_leaves)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Three rounds, over several bundles."""
    world = World(tmp_path)
    world.close(made=range(300))
    world.close(made=range(300, 500), used=range(100))
    world.close(used=range(100, 350))
    return world


@pytest.fixture
def follower(world: World) -> Iterator[Follower]:
    follower = world.follower()
    yield follower
    follower.close()


def steps(follower: Follower, target: int, published: int = 0) -> tuple[int, int, bytes]:
    """As many as it takes."""
    before = -1
    while True:
        root = follower.step(target, published)
        assert root.size > before, "each step gets further"
        if root.size == target:
            return root
        before = root.size


def test_every_round_has_the_map_of_its_entries(world: World, follower: Follower) -> None:
    """One after the other, each from the last one's file."""
    for size, expected in world.expected.items():
        assert follower.step(size, 0) == expected


@pytest.mark.parametrize("step_leaves", [1, 7, 256, 300])
def test_small_steps_lead_to_the_same_map(world: World, step_leaves: int) -> None:
    """Bundles cut anywhere; a partial tile of the target's size serves the steps before it."""
    follower = world.follower(step_leaves)
    assert steps(follower, world.size) == world.expected[world.size]
    follower.close()
    assert files_in(world.maps) == [world.size]


def test_proofs_are_of_the_size_asked_for(world: World, follower: Follower) -> None:
    """The published map is served while the next one is made, and until it is told otherwise."""
    first, _, last = world.expected
    assert follower.prove(first, bytes(32)) is None
    follower.step(first, 0)
    follower.step(last, first)
    coin = coin_id(secret(0))
    for size, state in ((first, State.CERTIFIED), (last, State.SPENT)):
        proof = follower.prove(size, coin)
        assert proof is not None
        assert proof.verify(coin, world.expected[size][2]) is state
    follower.step(last, last)
    assert files_in(world.maps) == [last]
    assert follower.prove(first, coin) is None


def test_an_old_map_is_made_again_beside_the_next_one(world: World, follower: Follower) -> None:
    """The file that proofs are asked of was lost, while the next one waits for its entry."""
    first, middle, last = world.expected
    follower.step(last, middle)
    assert steps(follower, middle, middle) == world.expected[middle]
    assert files_in(world.maps) == [middle, last]
    assert follower.step(last, middle) == world.expected[last]
    assert steps(follower, first, middle) == world.expected[first]


def test_a_coin_never_certified_and_one_taken_back_have_their_states(world: World) -> None:
    """As the log has it; what that means is the auditor's to say."""
    replaced = coin_id(secret(1))
    world.maker.close([spent(9000), ReplacedEntry(replaced, 0, 1, bytes(64)).encode()])
    follower = world.follower()
    root = follower.step(world.size, 0)
    for coin, state in ((coin_id(secret(9000)), State.SPENT), (replaced, State.REPLACED)):
        proof = follower.prove(world.size, coin)
        assert proof is not None
        assert proof.verify(coin, root.root) is state
    follower.close()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def rot(path: Path) -> None:
    damage(path, HEADER_BYTES + 40)


def rot_header(path: Path) -> None:
    damage(path, 50)


@pytest.mark.parametrize("harm", [cut, rot, rot_header, Path.unlink])
def test_a_damaged_file_is_made_again(world: World, harm: Callable[[Path], None]) -> None:
    """Found when it is opened, when it is merged, or when it is asked: never believed."""
    first, middle, last = world.expected
    follower = world.follower()
    follower.step(first, 0)
    follower.step(middle, first)
    follower.close()
    for size in (first, middle):
        harm(world.maps / str(size))
    follower = world.follower()
    assert steps(follower, last, middle) == world.expected[last]
    coins = [coin_id(secret(number)) for number in range(0, 500, 9)]
    assert None in {follower.prove(middle, coin) for coin in coins}
    steps(follower, middle, middle)
    for coin in coins:
        proof = follower.prove(middle, coin)
        assert isinstance(proof, MapProof)
        proof.verify(coin, world.expected[middle][2])
    follower.close()


def test_the_file_of_another_log_is_not_believed(world: World, tmp_path: Path) -> None:
    """A folder left behind by a board that was set up anew; as large, and with other coins."""
    other = World(tmp_path / "other")
    other.close(made=range(1000, 1000 + world.size - 1))
    assert other.size == world.size
    stranger = other.follower()
    stranger.step(other.size, 0)
    stranger.close()
    world.maps.mkdir()
    (other.maps / str(other.size)).rename(world.maps / str(other.size))
    follower = world.follower()
    assert follower.prove(world.size, bytes(32)) is None
    assert follower.step(world.size, 0) == world.expected[world.size]
    follower.close()


def test_half_written_files_are_removed_at_the_start(world: World) -> None:
    """A killed process leaves one."""
    world.maps.mkdir()
    (world.maps / "12.345.new").write_bytes(b"half")
    world.follower().close()
    assert list(world.maps.iterdir()) == []


def test_a_kill_between_steps_loses_one_step_at_most(world: World) -> None:
    """The next process goes on from the newest whole file."""
    follower = world.follower(100)
    follower.step(world.size, 0)
    reached = follower.step(world.size, 0).size
    follower.close()
    follower = world.follower(100)
    assert follower.step(world.size, 0).size == reached + 100
    follower.close()


@pytest.mark.parametrize("path", ["tile/entries/000", "tile/0/000"])
def test_a_rotten_log_is_named_and_no_root_is_made_of_it(world: World, path: str) -> None:
    """A flipped bit in a coin's id would become a root that the board signs, and then stands accused of."""
    damage(world.maker.folder.path / path, 100)
    follower = world.follower()
    with pytest.raises(FatalError, match=path):
        follower.step(world.size, 0)
    assert files_in(world.maps) == []
    damage(world.maker.folder.path / path, 100)
    assert follower.step(world.size, 0) == world.expected[world.size], "repaired, it goes on"
    follower.close()


def test_a_missing_bundle_is_named(world: World, follower: Follower) -> None:
    """The sentence goes to the operator's log."""
    (world.maker.folder.path / "tile/entries/001").unlink()
    with pytest.raises(FatalError, match="tile/entries/001"):
        follower.step(world.size, 0)


def test_partial_tiles_that_were_cleaned_up_are_not_missed(world: World, follower: Follower) -> None:
    """A map of an old size is made from the full tiles that replaced its partial ones."""
    first = next(iter(world.expected))
    old = world.size
    world.close(made=range(2000, 2300))
    world.maker.folder.clean(0, world.size)
    assert follower.step(old, 0) == world.expected[old]
    assert steps(follower, first) == world.expected[first]


def test_a_folder_that_can_not_be_used_is_said(world: World) -> None:
    """One line for the operator."""
    world.maps.write_text("a file")
    with pytest.raises(UserError, match="map's folder"):
        world.follower()
