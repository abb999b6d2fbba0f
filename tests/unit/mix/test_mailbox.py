"""A gateway's store, operation by operation, without daemon or network."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mix import mailbox
from mix.mailbox import Quota, QuotaError
from mix.messages import MOST_ITEMS, Registration
from mix.packet.geometry import PACKET_BYTES
from mixmint.database import open_database

QUOTA = Quota(tokens_per_owner=4, packets_per_owner=300, owners=2)
OWNER, OTHER = b"o" * 32, b"p" * 32
TOKEN, TOKEN_2 = b"t" * 16, b"u" * 16


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "gateway.db", mailbox.SCHEMA)
    mailbox.register(connection, OWNER, [Registration(TOKEN, bytes(16))], 100, QUOTA)
    yield connection
    connection.close()


def packets(count: int, token: bytes = TOKEN) -> list[tuple[bytes, bytes]]:
    return [(token, os.urandom(PACKET_BYTES)) for _ in range(count)]


def deliver(db: sqlite3.Connection, count: int, frame: bytes | None = None) -> mailbox.Delivery:
    return mailbox.deliver(db, frame or os.urandom(16), packets(count), QUOTA, ())


def numbers(db: sqlite3.Connection, acknowledge: tuple[int, ...] = (), owner: bytes = OWNER) -> list[int]:
    answer = mailbox.fetch(db, owner, acknowledge, 100, lambda _: False)
    return [item.number for item in answer.items]


def test_items_are_numbered_per_owner(db: sqlite3.Connection) -> None:
    """Numbers over all owners would tell each how busy the gateway is."""
    mailbox.register(db, OTHER, [Registration(TOKEN_2, bytes(16))], 100, QUOTA)
    deliver(db, 2)
    mailbox.deliver(db, b"f" * 16, packets(1, TOKEN_2), QUOTA, ())
    assert numbers(db) == [1, 2]
    assert numbers(db, owner=OTHER) == [1]


def test_numbers_are_never_used_twice(db: sqlite3.Connection) -> None:
    """An acknowledgement that comes late can't delete a packet that came after it."""
    deliver(db, 2)
    assert numbers(db, (1, 2)) == []
    deliver(db, 1)
    assert numbers(db, (1, 2)) == [3]


def test_nobody_acknowledges_for_another(db: sqlite3.Connection) -> None:
    """Numbers are the owner's own; a stranger's fetch touches nothing."""
    deliver(db, 1)
    assert numbers(db, (1,), owner=OTHER) == []
    assert numbers(db) == [1]


def test_a_fetch_is_bounded(db: sqlite3.Connection) -> None:
    """At most 256 packets an answer; the rest comes with the next."""
    deliver(db, MOST_ITEMS + 10)
    first = numbers(db)
    assert len(first) == MOST_ITEMS
    assert len(numbers(db, tuple(first))) == 10


def test_a_full_mailbox_turns_away_and_says_so_once(db: sqlite3.Connection) -> None:
    """It doesn't stop the frame: others' packets are in it too."""
    assert deliver(db, 302).full == 2
    assert mailbox.fetch(db, OWNER, (), 100, lambda _: False).turned_away == 2
    assert mailbox.fetch(db, OWNER, (1,), 100, lambda _: False).turned_away == 0
    assert deliver(db, 2).kept == 1


def test_unknown_tokens_are_counted_and_dropped(db: sqlite3.Connection) -> None:
    """Nothing is kept for nobody."""
    delivery = mailbox.deliver(db, b"f" * 16, packets(3, b"?" * 16), QUOTA, ())
    assert (delivery.kept, delivery.unknown) == (0, 3)


def test_a_restart_takes_back_what_the_filter_does_not_know(db: sqlite3.Connection) -> None:
    """Such a frame was never acknowledged and comes again; keeping both would deliver twice."""
    known, unknown = b"k" * 16, b"x" * 16
    deliver(db, 2, known)
    deliver(db, 3, unknown)
    assert mailbox.settle(db, lambda frame: frame == known) == 3
    assert numbers(db) == [1, 2]
    assert mailbox.settle(db, lambda _: False) == 0
    # Room is free again: held was counted back.
    assert deliver(db, 298).kept == 298


def test_a_frame_delivered_twice_counts_once(db: sqlite3.Connection) -> None:
    """Its tags couldn't be committed the first time, so it came again while we still ran."""
    frame = b"f" * 16
    deliver(db, 2, frame)
    deliver(db, 2, frame)
    assert len(numbers(db)) == 2


def test_recorded_frames_leave_the_list_of_arriving_ones(db: sqlite3.Connection) -> None:
    """The list holds what a crash could leave unfinished, not history."""
    deliver(db, 1, b"f" * 16)
    mailbox.deliver(db, b"g" * 16, packets(1), QUOTA, (b"f" * 16,))
    assert db.execute("SELECT frame FROM arriving").fetchall() == [(b"g" * 16,)]


def test_idle_owners_expire_with_all_that_is_theirs(db: sqlite3.Connection) -> None:
    """And not those who were here lately: a fetch renews, with the day as its only trace."""
    deliver(db, 2)
    assert mailbox.expire(db, 100) == 0
    mailbox.fetch(db, OWNER, (), 150, lambda _: False)
    assert mailbox.expire(db, 150) == 0
    assert mailbox.expire(db, 151) == 1
    for table in ("token", "item", "owner"):
        assert db.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,)  # noqa: S608 - three fixed names


def test_quotas_count_owners_and_tokens(db: sqlite3.Connection) -> None:
    """A refused registration leaves nothing behind when its operation is rolled back."""
    db.execute("BEGIN")
    with pytest.raises(QuotaError, match="tokens"):
        mailbox.register(db, OWNER, [Registration(os.urandom(16), bytes(16)) for _ in range(4)], 1, QUOTA)
    db.execute("ROLLBACK")
    mailbox.register(db, OTHER, [Registration(TOKEN_2, bytes(16))], 1, QUOTA)
    with pytest.raises(QuotaError, match="owners"):
        mailbox.register(db, b"q" * 32, [Registration(os.urandom(16), bytes(16))], 1, QUOTA)


def test_the_same_registration_again_changes_nothing(db: sqlite3.Connection) -> None:
    """Clients register at every start."""
    for _ in range(3):
        mailbox.register(db, OWNER, [Registration(TOKEN, bytes(16))], 100, QUOTA)
    assert db.execute("SELECT COUNT(*) FROM token").fetchone() == (1,)
