"""Small maps for the tests."""

from random import Random

from bank.board.map.proof import MapProof, prove
from bank.board.map.trie import merge_shard, root_of_shards, shard_of, shard_root

Coins = dict[bytes, int]


def random_coins(rng: Random, count: int, first_byte: int | None = None) -> Coins:
    """Coins with random ids and states."""
    head = b"" if first_byte is None else bytes([first_byte])
    return {head + rng.randbytes(32 - len(head)): rng.randint(1, 3) for _ in range(count)}


def coins_with_prefix(rng: Random, count: int, prefix: str) -> Coins:
    """Coins whose ids begin with these bits."""
    rest = 256 - len(prefix)
    return {
        (int(prefix, 2) << rest | rng.getrandbits(rest)).to_bytes(32): rng.randint(1, 3) for _ in range(count)
    }


def shards_of(coins: Coins) -> list[bytes]:
    """The packed records of all 256 shards."""
    shards: list[Coins] = [{} for _ in range(256)]
    for coin, state in coins.items():
        shards[shard_of(coin)][coin] = state
    return [merge_shard(b"", shard) for shard in shards]


def root_of(coins: Coins) -> bytes:
    """The map's root."""
    return root_of_shards([shard_root(records) for records in shards_of(coins)])


def prove_in(coins: Coins, coin: bytes) -> MapProof:
    """What the map of these coins says of one."""
    shards = shards_of(coins)
    return prove(coin, shards[shard_of(coin)], [shard_root(records) for records in shards])
