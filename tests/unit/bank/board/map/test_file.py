"""The map's files: what is written is read, and what was damaged is noticed before it is believed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest

from bank.board.map import file as map_file
from bank.board.map.file import HEADER_BYTES, DamagedMap, MapFile, files_in, merge
from bank.board.map.states import State
from mixmint.errors import UserError
from tests.unit.bank.board.map.maps import Coins, random_coins, root_of


@pytest.fixture
def coins() -> Coins:
    return random_coins(Random(1), 3000)


LOG = b"l" * 32
Make = Callable[[MapFile | None, Coins, int], MapFile]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Merges into files that are closed at the end."""
    with ExitStack() as files:
        yield lambda old, coins, size: files.enter_context(closing(merge(old, coins, size, LOG, tmp_path)))


@pytest.fixture
def made(make: Make, coins: Coins) -> MapFile:
    """The map of 3,000 coins, after 5,000 leaves."""
    return make(None, coins, 5000)


def test_a_file_says_what_was_put_in(made: MapFile, coins: Coins) -> None:
    """Root, size, number of coins; and each coin's state, proved."""
    assert made.root == (5000, 3000, root_of(coins))
    for coin in [*list(coins)[:20], b"\7" * 32]:
        assert made.prove(coin).verify(coin, made.root.root) == coins.get(coin)
    with closing(MapFile(made.path)) as again:
        assert (again.root, again.log_root) == (made.root, LOG)


def test_a_period_is_merged_into_a_new_file(made: MapFile, make: Make, coins: Coins, tmp_path: Path) -> None:
    """New coins, spent ones, and shards where nothing changed; the old file stays as it was."""
    before = made.path.read_bytes()
    first = min(coins)
    period = {first: State.REPLACED, b"\xfe" * 32: State.CERTIFIED}
    new = make(made, period, 6000)
    assert new.root == (6000, 3001, root_of(coins | period))
    assert new.prove(first).verify(first, new.root.root) is State.REPLACED
    assert made.path.read_bytes() == before
    assert make(new, period, 6000).root == new.root, "made twice: the same"
    assert files_in(tmp_path) == [5000, 6000]


def test_an_empty_map_is_a_map(make: Make) -> None:
    """Before the first coin."""
    made = make(None, {}, 0)
    assert made.root == (0, 0, root_of({}))
    assert made.prove(b"\1" * 32).verify(b"\1" * 32, made.root.root) is None


@pytest.mark.parametrize("at", [0, 9, 20, 30, 5000, HEADER_BYTES - 1])
def test_a_damaged_header_is_noticed_at_once(made: MapFile, at: int) -> None:
    """Any bit of it, before a shard is believed."""
    damage(made.path, at)
    with pytest.raises(DamagedMap):
        MapFile(made.path)


def test_a_damaged_record_is_noticed_when_it_is_read(made: MapFile, coins: Coins, tmp_path: Path) -> None:
    """Neither a proof nor a new root is made of it."""
    damage(made.path, HEADER_BYTES + 32)
    lowest, highest = min(coins), max(coins)
    with closing(MapFile(made.path)) as found:
        with pytest.raises(DamagedMap):
            found.prove(lowest)
        assert found.prove(highest).verify(highest, found.root.root) == coins[highest]
        with pytest.raises(DamagedMap):
            merge(found, {highest: State.REPLACED}, 7000, LOG, tmp_path)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_a_torn_file_is_noticed(made: MapFile, change: Callable[[bytes], bytes]) -> None:
    """As a power cut leaves it."""
    made.path.write_bytes(change(made.path.read_bytes()))
    with pytest.raises(DamagedMap):
        MapFile(made.path)


def test_a_file_under_another_size_is_not_believed(made: MapFile) -> None:
    """A file that was copied or renamed by hand."""
    other = made.path.with_name("6000")
    made.path.rename(other)
    with pytest.raises(DamagedMap):
        MapFile(other)


def test_a_shard_swapped_for_another_proves_nothing(
    made: MapFile, coins: Coins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that are whole, but not those under the root: no proof leaves."""
    coin = min(coins)
    monkeypatch.setattr(made, "records", lambda number: coin + b"\1")
    with pytest.raises(DamagedMap):
        made.prove(coin)


def test_a_full_disk_leaves_the_old_file_and_no_rest(
    made: MapFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller hears it in one line; nothing half-written is left to be found."""

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(map_file, "_header", full)
    with pytest.raises(UserError, match="No space left"):
        merge(made, {b"\1" * 32: 1}, 6000, LOG, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["5000"]


def test_only_names_of_sizes_are_taken_for_maps(tmp_path: Path) -> None:
    """Half-written ones and others' files aren't."""
    for name in ("7", "007", "7.new", "x", "-1", "²"):
        (tmp_path / name).touch()
    assert files_in(tmp_path) == [7]


def damage(path: Path, at: int) -> None:
    """Flip a bit."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
