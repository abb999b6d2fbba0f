"""The service host against hostile requests, crashes and a gateway that goes away."""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest
from msgspec.structs import replace

from mix.packet.build import ReplyBlock, build_forward, build_reply_block, use_reply_block
from mix.packet.geometry import REPLY_BLOCK_BYTES
from mixmint.errors import FatalError, UserError
from mixmint.keys import BoxKey, SigningKey
from replyblocks.formats import ANSWER_BODY_BYTES, RequestMessage, encode_answer
from replyblocks.service import MOST_LIFETIME_S, Request, ServiceHost
from tests.unit.replyblocks.fake_network import FakeNetwork


class Counting:
    """Answers with the body; keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[Request]] = []
        self.answer: bytes | None = None

    async def handle(self, requests: Sequence[Request]) -> list[bytes]:
        self.batches.append(list(requests))
        return [request.body if self.answer is None else self.answer for request in requests]


class Bench:
    """A service, and a client who makes requests by hand."""

    def __init__(self) -> None:
        self.network = FakeNetwork(now_s=time.time())
        self.link = self.network.service_link("echo")
        self.service = self.network.services["echo"]
        self.handler = Counting()
        self.host = self.make_host()
        self.owner = SigningKey.generate()
        self.network.link(self.owner)
        self.network.boxes[self.owner.public].tokens.add(b"t" * 16)
        self.endpoint = BoxKey.generate()

    def make_host(self) -> ServiceHost:
        return ServiceHost(self.network.directory, "echo", self.link, self.service.endpoint, self.handler)

    def block(self) -> ReplyBlock:
        now_s = time.time()
        route = self.network.directory.route("g2", b"t" * 16, self.endpoint.public, now_s)
        return build_reply_block(route, int(now_s) + 3600)[0]

    def request(self, body: bytes = b"body", **changes: object) -> RequestMessage:
        fields = {
            "request_id": os.urandom(16),
            "attempt": 0,
            "expires_s": int(time.time()) + 60,
            "blocks": (self.block(), self.block()),
            "body": body,
        }
        return RequestMessage(**{**fields, **changes})

    def send(self, *messages: RequestMessage | bytes) -> None:
        now_s = time.time()
        route = self.network.directory.route("g1", self.service.token, self.service.endpoint.public, now_s)
        for message in messages:
            data = message if isinstance(message, bytes) else message.encode()
            self.network.accept([build_forward(route, data)])

    async def work(self, host: ServiceHost | None = None) -> None:
        items = await self.link.fetch(0)
        await self.link.fetch(0, await (host or self.host).work_on(items))

    @property
    def answers(self) -> int:
        return len(self.network.boxes[self.owner.public].items)

    def outcome(self, name: str) -> float:
        return self.host.outcomes.labels(name)._value.get()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_fetched_batch_is_one_call_of_the_handler(bench: Bench) -> None:
    """64 requests, one call, 64 answers, each by one block."""
    bench.send(*(bench.request(b"%d" % number) for number in range(64)))
    await bench.work()
    assert [len(batch) for batch in bench.handler.batches] == [64]
    assert bench.answers == 64
    assert bench.network.submitted == 64 + 64


async def test_a_resend_is_answered_by_both_of_its_blocks(bench: Bench) -> None:
    """A packet was lost or late, so the answer goes two ways."""
    bench.send(bench.request(attempt=1))
    await bench.work()
    assert bench.answers == 2


async def test_two_sendings_in_one_batch_are_one_request(bench: Bench) -> None:
    """The handler sees it once; both sendings are answered."""
    first = bench.request()
    again = bench.request(request_id=first.request_id, attempt=1)
    bench.send(first, again)
    await bench.work()
    assert [len(batch) for batch in bench.handler.batches] == [1]
    assert bench.answers == 3


async def test_the_same_id_with_another_body_in_one_batch_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler gets the first; the other is answered with the empty answer, not with the first one's."""
    first = bench.request(b"one")
    bench.send(first, bench.request(b"two", request_id=first.request_id))
    used: list[bytes] = []
    monkeypatch.setattr(
        "replyblocks.service.use_reply_block",
        lambda block, message: used.append(message) or use_reply_block(block, message),
    )
    await bench.work()
    assert used == [encode_answer(first.request_id, b"one"), encode_answer(first.request_id, b"")]
    assert [request.body for request in bench.handler.batches[0]] == [b"one"]
    assert bench.answers == 2


async def test_the_same_packet_twice_is_answered_once(bench: Bench) -> None:
    """A gateway that repeats a packet doesn't make us use a block twice."""
    bench.send(bench.request())
    bench.network.put(*bench.network.delivered[-1])
    await bench.work()
    assert (bench.answers, bench.outcome("repeated")) == (1, 1)


async def test_killed_between_answering_and_acknowledging(bench: Bench) -> None:
    """The batch comes again after the restart; the copies of the answers are stopped by the first mix."""
    bench.send(bench.request(), bench.request())
    await bench.host.work_on(await bench.link.fetch(0))
    await bench.work(bench.make_host())
    assert len(bench.handler.batches) == 2
    assert bench.handler.batches[0] == bench.handler.batches[1]
    assert (bench.answers, bench.network.replays) == (2, 2)


async def test_hostile_requests_are_dropped_and_counted(bench: Bench) -> None:
    """Nothing reaches the handler, nothing is answered, everything is acknowledged."""
    now_s = int(time.time())
    nowhere = ReplyBlock(os.urandom(REPLY_BLOCK_BYTES - 4) + (now_s + 3600).to_bytes(4))
    dead = ReplyBlock(bench.block()[:-4] + (now_s - 1).to_bytes(4))
    bench.send(
        b"",
        b"\x01" * 600,
        b"\x03" + bytes(600),
        bench.request().encode()[:-1],
        bench.request(expires_s=now_s - 400),
        bench.request(expires_s=now_s + MOST_LIFETIME_S + 400),
        bench.request(blocks=(nowhere, bench.block())),
        bench.request(blocks=(dead, bench.block())),
    )
    bench.network.put(bench.service.token, os.urandom(2270))
    bench.network.put(bench.service.token, b"short")
    await bench.work()
    assert bench.handler.batches == []
    assert bench.answers == 0
    assert (bench.outcome("expired"), bench.outcome("block")) == (2, 2)
    assert bench.outcome("length") + bench.outcome("format") + bench.outcome("attempt") == 4
    assert await bench.link.fetch(0) == []


async def test_one_hostile_block_does_not_stop_the_others(bench: Bench) -> None:
    """A block that begins nowhere would make the gateway refuse the whole submission."""
    nowhere = ReplyBlock(os.urandom(REPLY_BLOCK_BYTES - 4) + (int(time.time()) + 3600).to_bytes(4))
    bench.send(bench.request(blocks=(nowhere, nowhere)), bench.request())
    await bench.work()
    assert bench.answers == 1


async def test_a_gateway_that_is_away_gets_the_answers_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler isn't asked again for that."""
    monkeypatch.setattr("replyblocks.service.PAUSE_S", 0)
    bench.send(bench.request())
    bench.link.fail_submit_after = 3
    await bench.work()
    assert (len(bench.handler.batches), bench.answers) == (1, 1)


async def test_a_full_disk_leaves_the_batch_in_the_mailbox(bench: Bench) -> None:
    """The handler refuses, nothing is acknowledged, and later everything is answered."""

    class Full(Counting):
        async def handle(self, requests: Sequence[Request]) -> list[bytes]:
            raise UserError("the store can't write: is the disk full?")

    good, bench.handler = bench.handler, Full()
    bench.send(bench.request())
    with pytest.raises(UserError):
        await bench.work(bench.make_host())
    bench.handler = good
    await bench.work()
    assert bench.answers == 1


@pytest.mark.parametrize("answer", [bytes(ANSWER_BODY_BYTES + 1), None])
async def test_a_handler_that_breaks_its_contract_stops_the_service(
    bench: Bench, answer: bytes | None
) -> None:
    """Too long an answer, or another number of them, is a fault of ours."""

    class Short(Counting):
        async def handle(self, requests: Sequence[Request]) -> list[bytes]:
            return [] if answer is None else [answer]

    bench.handler = Short()
    bench.send(bench.request())
    with pytest.raises(FatalError):
        await bench.work(bench.make_host())


async def test_a_foreign_endpoint_key_is_refused_at_start(bench: Bench) -> None:
    """A service with the wrong folder would drop everything in silence."""
    with pytest.raises(UserError, match="another endpoint key"):
        ServiceHost(bench.network.directory, "echo", bench.link, BoxKey.generate(), bench.handler)


async def test_run_registers_and_goes_on_after_trouble(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that is away at the start is tried again; then requests are answered."""
    monkeypatch.setattr("replyblocks.service.PAUSE_S", 0)
    bench.network.boxes[bench.service.owner.public].tokens.clear()
    bench.network.is_down = True
    task = asyncio.create_task(bench.host.run())
    for _ in range(10):
        await asyncio.sleep(0)
    bench.network.is_down = False
    async with asyncio.timeout(5):
        await bench.network.boxes[bench.service.owner.public].registered.wait()
        bench.send(bench.request())
        await bench.network.boxes[bench.owner.public].filled.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_blocks_for_keys_of_a_newer_directory_are_used_once_it_is_known(bench: Bench) -> None:
    """Two epochs after its start a service that didn't follow would drop every request."""
    newer, box = bench.network.directory, BoxKey.generate()
    nodes = tuple(
        replace(
            node,
            sphinx_keys=tuple(
                replace(key, key_id=os.urandom(16), public=box.public) for key in node.sphinx_keys
            ),
        )
        for node in newer.nodes
    )
    bench.host.follow(replace(newer, nodes=nodes))
    bench.send(bench.request())
    await bench.work()
    assert bench.answers == 0
    bench.host.follow(newer)
    bench.send(bench.request())
    await bench.work()
    assert bench.answers == 1
