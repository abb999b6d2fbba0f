"""What became of what was sent: from the states, and from the post's database."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mixmint.database import open_database
from mixmint.errors import PendingError
from mixmint.sealing import Sealer
from replyblocks.conversation import Answered, Asked, Clock, Conversation, NotTaken, ask, step
from replyblocks.delivery import PEOPLE_S, Delivery, of_message, of_request
from replyblocks.doctor import count_requests, describe_counts
from replyblocks.outbox import OutboxRow
from replyblocks.store import SCHEMA, Kind, Store
from tests.unit.replyblocks.test_messages import People, people
from tests.unit.replyblocks.test_post import expiry, make_network, make_post

__all__ = ["people"]


def wait_s(_: int) -> float:
    return 10.0


def test_states_of_a_request() -> None:
    """Each follows from what the state machine knows, without a field of its own."""
    state = ask(None, bytes(16), Asked("bank", b"", 1000), 0)
    assert of_request(state, 0) is Delivery.QUEUED
    state, _ = step(state, Clock(), 0, wait_s)
    assert (of_request(state, 9), of_request(state, 10)) == (Delivery.SENT, Delivery.OVERDUE)
    assert of_request(step(state, NotTaken(), 1, wait_s)[0], 1) is Delivery.QUEUED
    again, _ = step(state, Clock(), 10, wait_s)
    assert (of_request(again, 11), of_request(again, 1000)) == (Delivery.OVERDUE, Delivery.LOST)
    late, _ = step(again, Answered(b"late"), 2000, wait_s)
    assert of_request(late, 3000) is Delivery.ANSWERED


@pytest.mark.parametrize(
    ("state", "given", "is_answerable", "age_s", "delivery"),
    [
        ("queued", 4, True, 2 * PEOPLE_S, Delivery.QUEUED),
        ("sent", 4, True, 0, Delivery.SENT),
        ("sent", 4, True, PEOPLE_S, Delivery.OVERDUE),
        ("sent", 4, False, 0, Delivery.LOST),
        ("sent", 0, False, 9 * PEOPLE_S, Delivery.SENT),
        ("answered", 4, False, 0, Delivery.ANSWERED),
        ("expired", 4, True, 0, Delivery.LOST),
    ],
)
def test_states_of_a_message(
    state: str, given: int, is_answerable: bool, age_s: int, delivery: Delivery
) -> None:
    """A message that asked for no answer is never overdue; one whose blocks have died is lost."""
    assert of_message(state, 1000, given, is_answerable=is_answerable, now_s=1000 + age_s) is delivery


async def test_a_message_is_followed_from_the_outbox_to_its_end(people: People) -> None:
    """Queued, sent, overdue after a day, lost when its last reply block has died; or answered."""
    async with people.post("alice") as post:
        outbox, now_s = post.messages.outbox, time.time()
        number = outbox.queue(people.address("bob"), "hello", now_s)
        silent = outbox.queue(people.address("bob"), "no answer wanted", now_s, 0)
        assert outbox.deliveries(now_s)[number] is Delivery.QUEUED
        await post.send_queued()
        seen = [outbox.deliveries(now_s + days * 86400) for days in (0, 2, 60)]
    assert [one[number] for one in seen] == [Delivery.SENT, Delivery.OVERDUE, Delivery.LOST]
    assert {one[silent] for one in seen} == {Delivery.SENT}
    await people.read("bob")
    await people.answer("bob", number, "yes")
    await people.read("alice")
    async with people.post("alice") as post:
        assert post.messages.outbox.deliveries(now_s)[number] is Delivery.ANSWERED


async def test_requests_are_counted_by_state(tmp_path: Path) -> None:
    """For the command line and the doctor; forgotten ones are gone."""
    network, request_id = make_network(), os.urandom(16)
    network.service_link("echo")
    async with make_post(tmp_path, network) as post:
        with pytest.raises(PendingError):
            await post.ask("echo", request_id, b"hello", expiry(), 0)
        (one,) = post.requests()
        assert (one.service, one.sendings, one.delivery) == ("echo", 1, Delivery.SENT)
        with post._store.transaction():
            state: Conversation | None = post._store.conversation(request_id)
            assert state is not None
            post._store.put_conversation(replace(state, request_id=bytes(16), sendings=2))
        assert describe_counts(count_requests(post)) == "1 sent, 1 overdue"
        post.forget(request_id)
        post.forget(bytes(16))
        assert not post.requests()


def test_a_database_of_before_is_taken_over(tmp_path: Path) -> None:
    """Its messages are there; how many blocks went with them isn't known, so they stay as they were."""
    path, sealer = tmp_path / "post.db", Sealer(bytes(32))
    open_database(path, SCHEMA[:1]).close()
    old = open_database(path, SCHEMA[:1])
    row = OutboxRow(bytes(16), "sent", 0, "", 0, "old", bytes(32), b"", ())
    store = Store(tmp_path / "other.db", sealer, bytes(32))
    name = store.name(Kind.OUTBOX, row.id)
    old.execute("INSERT INTO outbox (name, waiting, sealed) VALUES (?, 0, ?)", (name, store.seal(row, name)))
    store.close()
    old.close()
    store = Store(path, sealer, bytes(32))
    (found,) = store.connection.execute("SELECT sealed, given FROM outbox").fetchall()
    assert (store.open(found[0], name, OutboxRow), found[1]) == (row, 0)
    store.close()
