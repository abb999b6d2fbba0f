"""What a service keeps of long requests: bounded, and only what belongs together is put together."""

import os
import sqlite3
from pathlib import Path

import pytest

from replyblocks.blocks import SKEW_S
from replyblocks.long.box import LONG_SCHEMA, Box, Found
from replyblocks.long.formats import Head, Part
from replyblocks.long.parts import PART_BYTES, cut, digest
from replyblocks.remembering import open_answers

NOW_S = 1000


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    return open_answers(tmp_path / "answers.db", (LONG_SCHEMA,))


def parts_of(data: bytes, request_id: bytes = bytes(16), expires_s: int = 2000) -> list[Part]:
    head = Head(request_id, digest(data), len(data), expires_s)
    return [Part(head, part, cut(data, part)) for part in range(head.parts)]


def test_parts_in_any_order_and_number_become_the_request(connection: sqlite3.Connection) -> None:
    """Then the answer takes their place, and late copies of the parts are not kept."""
    data, box = os.urandom(2 * PART_BYTES + 1), Box()
    first, second, third = parts_of(data)
    box.put(connection, [third, first, third], NOW_S)
    assert box.look(connection, first.head) == Found(frozenset({0, 2}))
    box.put(connection, [second], NOW_S)
    assert box.look(connection, first.head).body == data
    box.keep_answer(connection, first.head, b"answer")
    box.put(connection, [first], NOW_S)
    assert box.look(connection, first.head) == Found(answer=b"answer")
    assert connection.execute("SELECT COUNT(*) FROM long_part").fetchone() == (0,)


def test_requests_of_one_id_never_meet(connection: sqlite3.Connection) -> None:
    """Another body under the same id is another request; the handler decides which of them it knows."""
    box = Box()
    one, other = parts_of(bytes(2 * PART_BYTES)), parts_of(b"x" * 2 * PART_BYTES)
    box.put(connection, [one[0], other[1]], NOW_S)
    assert box.look(connection, one[0].head).parts == {0}
    assert box.look(connection, other[0].head).parts == {1}


def test_parts_that_are_not_what_the_head_names_are_all_dropped(connection: sqlite3.Connection) -> None:
    """A forged part costs its forger, who knows the request's id, the whole request."""
    box, good = Box(), parts_of(os.urandom(2 * PART_BYTES))
    box.put(connection, [good[0], Part(good[1].head, 1, bytes(PART_BYTES))], NOW_S)
    assert box.look(connection, good[0].head) == Found()
    assert connection.execute("SELECT COUNT(*) FROM long_part").fetchone() == (0,)
    box.put(connection, good, NOW_S)
    assert box.look(connection, good[0].head).body is not None


def test_a_flood_pushes_out_itself(connection: sqlite3.Connection) -> None:
    """Neither bound is passed, and who goes on sending stays."""
    box = Box(most_requests=4, most_bytes=20 * PART_BYTES)
    mine = parts_of(os.urandom(10 * PART_BYTES))
    for part in mine:
        flood = [parts_of(os.urandom(9 * PART_BYTES), os.urandom(16))[0] for _ in range(3)]
        box.put(connection, [*flood, part], NOW_S)
        count, kept = connection.execute("SELECT COUNT(*), SUM(kept) FROM long_request").fetchone()
        assert count <= 4
        assert kept <= 20 * PART_BYTES
    assert box.look(connection, mine[0].head).body is not None
    (stored,) = connection.execute("SELECT SUM(LENGTH(data)) FROM long_part").fetchone()
    assert stored <= 20 * PART_BYTES


def test_what_has_expired_is_deleted(connection: sqlite3.Connection) -> None:
    """With the clocks' tolerance; a later expiry keeps it longer."""
    box, data = Box(), os.urandom(2 * PART_BYTES)
    old, other = parts_of(data), parts_of(b"other", os.urandom(16), expires_s=9000)
    box.put(connection, [old[0]], NOW_S)
    box.put(connection, other, 2000 + SKEW_S)
    assert box.look(connection, old[0].head).parts == {0}
    box.put(connection, [parts_of(data, expires_s=5000)[0]], NOW_S)
    box.put(connection, other, 5000 + SKEW_S)
    assert box.look(connection, old[0].head).parts == {0}
    box.put(connection, other, 5001 + SKEW_S)
    assert box.look(connection, old[0].head) == Found()
