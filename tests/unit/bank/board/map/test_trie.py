"""The tree's shape, against the slow one, and what entries say of coins."""

from random import Random

from bank.board.map.growing import GrowingShard
from bank.board.map.states import State, collect
from bank.board.map.trie import merge_shard, shard_root
from bank.formats.coin import coin_id
from bank.formats.entry import AccountEntry, CertifiedEntry, MapEntry, PostedEntry, ReplacedEntry, SpentEntry
from tests.unit.bank.board.map.maps import coins_with_prefix, random_coins, root_of
from tests.unit.bank.board.map.second_map import root_below


def test_the_root_is_what_the_page_says() -> None:
    """Sparse and crowded maps, against the second implementation."""
    rng = Random(7)
    for coins in (
        {},
        random_coins(rng, 1),
        random_coins(rng, 700),
        coins_with_prefix(rng, 64, "10100110"),
        coins_with_prefix(rng, 65, "10100110"),
        coins_with_prefix(rng, 300, "1010011" + "01" * 30) | random_coins(rng, 200),
    ):
        assert root_of(coins) == root_below(coins)


def test_65_coins_that_differ_in_their_last_bits_go_as_deep_as_a_proof_can_say() -> None:
    """Coin ids are the holders' choice, so the worst shape is somebody's."""
    coins = {bytes(31) + bytes([low]): 1 for low in range(65)}
    assert root_of(coins) == root_below(coins)


def test_one_set_of_coins_has_one_root() -> None:
    """However it came about: at once, in pieces, in another order, with repeats."""
    rng = Random(8)
    coins = random_coins(rng, 500, first_byte=9)
    whole = merge_shard(b"", coins)
    order = list(coins.items())
    rng.shuffle(order)
    pieces = b""
    for at in range(0, 500, 37):
        pieces = merge_shard(pieces, dict(order[max(0, at - 20) : at + 37]))
    assert pieces == whole
    assert shard_root(pieces) == shard_root(whole)


def test_states_only_grow() -> None:
    """A coin certified again after it was spent stays spent; a change made twice changes nothing."""
    coin, other = b"\5" * 32, b"\5" * 31 + b"\6"
    records = merge_shard(b"", {coin: State.SPENT})
    assert merge_shard(records, {coin: State.CERTIFIED}) == records == coin + b"\2"
    assert merge_shard(records, {coin: State.SPENT, other: State.CERTIFIED}) == coin + b"\2" + other + b"\1"
    assert merge_shard(records, {coin: State.REPLACED}) == coin + b"\3"


def test_entries_say_what_became_of_coins() -> None:
    """A spent entry carries the coin's key, the others its id; other kinds say nothing."""
    key, one, two, three = b"k" * 32, b"1" * 32, b"2" * 32, b"3" * 32
    changes: dict[bytes, int] = {}
    collect(
        [
            AccountEntry(b"a" * 32).encode(),
            CertifiedEntry(one, 0, 1, bytes(64)).encode(),
            SpentEntry(key, bytes(32), bytes(64)).encode(),
            ReplacedEntry(two, 0, 1, bytes(64)).encode(),
            CertifiedEntry(two, 0, 1, bytes(64)).encode(),
            PostedEntry(three, 0, 1, bytes(64)).encode(),
            CertifiedEntry(coin_id(key), 0, 1, bytes(64)).encode(),
            MapEntry(1, 2, 3, bytes(32)).encode(),
        ],
        changes,
    )
    assert changes == {
        one: State.CERTIFIED,
        coin_id(key): State.SPENT,
        two: State.REPLACED,
        three: State.CERTIFIED,
    }


def test_a_growing_shard_has_the_root_of_its_records() -> None:
    """The auditor's tree and the board's pass over the records say the same after each of many changes."""
    rng = Random(9)
    shard = GrowingShard()
    assert (shard.root(), shard.coins) == (shard_root(b""), 0)
    records = b""
    near = coins_with_prefix(rng, 150, "00000011" + "0" * 90)
    for batch in (random_coins(rng, 30, 3), near, random_coins(rng, 400, 3), {}, random_coins(rng, 1, 3)):
        again = {coin: rng.randint(1, 3) for coin in list(near)[:40]} if records else {}
        shard.update(batch | again)
        records = merge_shard(records, batch | again)
        assert (shard.root(), shard.coins) == (shard_root(records), len(records) // 33)
