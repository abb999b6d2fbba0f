"""Tables of names seen: against a plain set, while they grow; how often a new name is taken for an old."""

import os
from random import Random

import pytest

from mix.replay import capacity
from mix.replay.seen import FIRST_BUCKETS, FULL_LAST, FULL_SMALL, GROWTH, LAST_STEP, Seen, memory_bytes
from mix.replay.table import BUCKET_BYTES, Table


def names(count: int, rng: Random) -> list[bytes]:
    return [rng.randbytes(8) for _ in range(count)]


@pytest.mark.parametrize("entry_bytes", [4, 8])
def test_a_name_is_new_once(entry_bytes: int) -> None:
    """Also twice in one call; with buckets that run over."""
    table, rng = Table(8, 8 if entry_bytes == 8 else 4), Random(entry_bytes)
    ours = names(1000, rng)
    assert table.add(b"".join(ours), []) == [True] * 1000
    assert table.add(b"".join(ours), []) == [False] * 1000
    assert table.has(b"".join([ours[0], *names(2, rng), ours[-1]])) == [True, False, False, True]
    one = names(1, rng)[0]
    assert table.add(one + one, []) == [True, False]


@pytest.mark.parametrize("entry_bytes", [4, 8])
def test_what_is_taken_back_was_never_there(entry_bytes: int) -> None:
    table, rng = Table(4, 8 if entry_bytes == 8 else 4), Random(entry_bytes)
    before, after = names(200, rng), names(300, rng)
    table.put(b"".join(before))
    undo: list[int | tuple[int, bytes]] = []
    table.add(b"".join(after), undo)
    assert len(undo) == 300
    table.take_back(undo)
    assert table.has(b"".join(before)) == [True] * 200
    assert table.has(b"".join(after)) == [False] * 300
    assert table.add(b"".join(after), []) == [True] * 300


def test_names_stay_while_the_table_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first table to the last, with names half moved, rolled back and repeated in between."""
    monkeypatch.setattr("mix.replay.seen.FIRST_BUCKETS", 8)
    monkeypatch.setattr("mix.replay.seen.LEAST_MOVED", 1)
    rng, seen, ours = Random(1), Seen(40_000), list[bytes]()
    known: set[bytes] = set()
    while len(ours) < 39_000:
        more = names(rng.randrange(1, 100), rng)
        asked = more + rng.choices(ours, k=3) if ours else more
        rng.shuffle(asked)
        expected = [name not in known for name in asked]
        assert seen.add(b"".join(asked)) == expected
        if rng.random() < 0.3:
            seen.roll_back()
            assert not any(seen.has(name) for name in more)
        else:
            seen.commit()
            ours += more
            known.update(more)
        assert len(seen) == len(ours)
    assert seen.add(b"".join(ours)) == [False] * len(ours)
    seen.close()


def test_what_is_loaded_is_known_and_what_comes_later_is_new() -> None:
    """At a start, of any number of names: more than the first table holds, up to the last table."""
    for count in (0, 1, FIRST_BUCKETS * FULL_SMALL + 10, 150_000):
        rng, seen = Random(count), Seen(400_000)
        ours = names(count, rng)
        seen.load(b"".join(ours))
        assert len(seen) == count
        assert seen.add(b"".join(ours)) == [False] * count
        assert seen.add(b"".join(names(20_000, rng))) == [True] * 20_000
        seen.close()


def test_a_full_table_takes_new_names_for_old_ones_rarely() -> None:
    """4.2e-8 by the arithmetic: of 150,000 new names, none (but for once in 150 seeds)."""
    rng = Random(3)
    table = Table(500, 4)
    table.put(rng.randbytes(8 * 500 * FULL_LAST))
    assert not any(table.has(rng.randbytes(8 * 150_000)))


def test_a_table_that_is_full_keeps_to_its_memory() -> None:
    """Six bytes a name: the names that find their bucket full are few."""
    rng, buckets = Random(4), 2000
    table = Table(buckets, 4)
    table.put(rng.randbytes(8 * buckets * FULL_LAST))
    assert len(table._over) < buckets * FULL_LAST / 1000


def test_a_day_of_packets_fits_one_gibibyte() -> None:
    """2,000 a second: the last table, and the one before it while its names move."""
    last, small = memory_bytes(2000 * 86_400), FIRST_BUCKETS * BUCKET_BYTES
    while small * GROWTH <= last // LAST_STEP:
        small *= GROWTH
    assert last + small < 1 << 30


def test_memory_is_asked_for_as_names_come() -> None:
    """A quiet node has a table of 1 MiB, whatever its capacity is."""
    seen = Seen(capacity.MOST)
    seen.add(os.urandom(8 * 1000))
    assert len(seen._table._memory) == 1 << 20
    seen.close()


def test_a_kernel_without_large_pages_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """What madvise(2) says there, it says of advice that nobody knows."""
    monkeypatch.setattr("mix.replay.table._HUGE_BYTES", 0)
    monkeypatch.setattr("mmap.MADV_HUGEPAGE", 999)
    assert Table(8, 4).add(bytes(8), []) == [True]


def test_the_default_capacity_fits_the_machine() -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert capacity.LEAST <= capacity.fitting_capacity() <= capacity.MOST
    assert memory_bytes(capacity.fitting_capacity()) <= max(machine // 8, memory_bytes(capacity.LEAST))
