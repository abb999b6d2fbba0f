"""A log gathers cosignatures: from true witnesses over HTTP, and from servers that misbehave."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bank.board.log.note import KeyKind, Note, VerifierKey, cosign_text
from bank.board.log.policy import Policy, parse_policy
from bank.board.witness.asking import MOST_ANSWER_BYTES
from bank.board.witness.collector import GRACE_S, Collector, check_policy
from bank.board.witness.core import Request
from mixmint.errors import FatalError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.witness.daemons import Running, free_port, running_witness
from tests.unit.bank.board.witness.histories import FORKED, LOG, NOW_S, ORIGIN, TRUE, History

SEEDS = {"w1": b"1" * 32, "w2": b"2" * 32, "w3": b"3" * 32}
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def key(name: str) -> VerifierKey:
    return VerifierKey(f"{name}.example.org", SigningKey(SEEDS[name]).public, KeyKind.WITNESS)


def policy(quorum: int, **urls: str) -> Policy:
    """``quorum`` of these witnesses."""
    lines = [f"witness {name} {key(name).text()} {url}" for name, url in urls.items()]
    return parse_policy(
        "\n".join([*lines, f"group all-of-them {quorum} {' '.join(urls)}", "quorum all-of-them"])
    )


@dataclass
class Place:
    """Starts witnesses, true ones and others, and makes collectors that ask them."""

    folder: Path
    session: aiohttp.ClientSession
    stack: AsyncExitStack
    asked: list[Request] = field(default_factory=list)

    async def witness(self, name: str) -> Running:
        return await self.stack.enter_async_context(
            running_witness(self.folder / name, self.session, seed=SEEDS[name], name=f"{name}.example.org")
        )

    async def server(self, answer: Answer) -> str:
        """Something that answers whatever the test wants; its URL."""

        async def handle(request: web.Request) -> web.StreamResponse:
            self.asked.append(Request.decode(await request.read()))
            return await answer(request)

        app = web.Application()
        app.router.add_post("/add-checkpoint", handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self.stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"

    def collector(
        self,
        policy: Policy,
        history: History = TRUE,
        *,
        timeout_s: float = 5.0,
        fail_open: bool = True,
        now_s: float = NOW_S,
    ) -> Collector:
        return Collector(
            policy,
            ORIGIN,
            history.proofs,
            self.session,
            timeout_s=timeout_s,
            fail_open=fail_open,
            now_s=lambda: now_s,
        )


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        yield Place(tmp_path, session, stack)


def says(status: int, body: str | bytes = "", media_type: str = "text/plain") -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        data = body.encode() if isinstance(body, str) else body
        return web.Response(status=status, body=data, headers={"Content-Type": media_type})

    return answer


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


def signs(name: str, *, time_s: int = NOW_S, text: Callable[[str], str] = lambda text: text) -> Answer:
    """A witness that signs whatever it gets, as ``text`` changes it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        note = Request.decode(await request.read()).note
        line = cosign_text(SigningKey(SEEDS[name]), key(name).name, text(note.text), time_s).line()
        return web.Response(text=line)

    return answer


def cosigners(demanded: Policy, note: Note) -> list[str]:
    return [witness.name for witness in demanded.cosignatures(note)]


def count(collector: Collector, witness: str, reason: str) -> float:
    labels = {"witness": witness, "reason": reason}
    return collector.metrics.registry.get_sample_value("mixmint_board_cosign_failures_total", labels) or 0.0


async def test_true_witnesses_follow_a_growing_log(place: Place) -> None:
    """From nothing, on and on; after a restart of the log too, when it doesn't know what they have seen."""
    urls = {name: (await place.witness(name)).url for name in SEEDS}
    demanded = policy(2, **urls)
    collector = place.collector(demanded, fail_open=False)
    for size in (1, 40, 40, 300):
        note = await collector.gather(TRUE.note(size), size)
        assert note.text == TRUE.note(size).text
        assert cosigners(demanded, note) == ["w1", "w2", "w3"]
        assert demanded.check(note)
    collector = place.collector(demanded, fail_open=False)
    await collector.check_start(TRUE.note(300), 300)
    assert cosigners(demanded, await collector.gather(TRUE.note(301), 301)) == ["w1", "w2", "w3"]
    assert collector.trouble == ""
    sizes = [
        collector.metrics.registry.get_sample_value("mixmint_board_cosigned_size", {"witness": name})
        for name in SEEDS
    ]
    assert sizes == [301, 301, 301]


async def test_cosignatures_that_are_there_already_are_not_asked_for_again(place: Place) -> None:
    """A note that was gathered for, but not published before a crash, keeps what it has."""
    url = await place.server(signs("w1"))
    demanded = policy(1, w1=url)
    collector = place.collector(demanded)
    note = await collector.gather(TRUE.note(40), 40)
    assert await collector.gather(note, 40) == note
    assert len(place.asked) == 1


async def test_a_note_that_has_its_quorum_waits_a_grace_only(place: Place) -> None:
    """As after a crash between cosigning and publishing: nothing more is needed."""
    demanded = policy(1, w1=await place.server(signs("w1")), w2=await place.server(silent))
    before = TRUE.note(40).plus([cosign_text(SigningKey(SEEDS["w1"]), key("w1").name, TRUE.note(40).text, 1)])
    started_s = time.monotonic()
    assert await place.collector(demanded).gather(before, 40) == before
    assert time.monotonic() - started_s < 4


async def test_a_redirect_is_not_followed(place: Place) -> None:
    """A witness says where it is in the policy; nobody sends the board elsewhere."""
    true = await place.server(signs("w1"))

    async def elsewhere(_: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": true + "/add-checkpoint"})

    collector = place.collector(policy(1, w1=await place.server(elsewhere)))
    assert await collector.gather(TRUE.note(40), 40) == TRUE.note(40)
    assert len(place.asked) == 1
    assert count(collector, "w1", "refused") == 1


async def test_a_witness_is_asked_with_the_size_that_it_has(place: Place) -> None:
    """What a witness cosigned is remembered: one request for each checkpoint, not two."""

    collector = place.collector(policy(1, w1=await place.server(signs("w1"))))
    await collector.gather(TRUE.note(50), 50)
    await collector.gather(TRUE.note(90), 90)
    assert [(each.old, each.checkpoint.size) for each in place.asked] == [(50, 50), (50, 90)]
    assert list(place.asked[1].proof) == TRUE.proof(50, 90)


async def test_a_quorum_of_two_is_met_with_one_of_three_down(place: Place) -> None:
    """At once: the one that refuses connections isn't waited for."""
    urls = {name: (await place.witness(name)).url for name in ("w1", "w3")}
    demanded = policy(2, w1=urls["w1"], w2=f"http://127.0.0.1:{free_port()}", w3=urls["w3"])
    collector = place.collector(demanded, fail_open=False)
    started_s = time.monotonic()
    note = await collector.gather(TRUE.note(40), 40)
    assert time.monotonic() - started_s < 2
    assert cosigners(demanded, note) == ["w1", "w3"]
    assert demanded.check(note)
    assert count(collector, "w2", "unavailable") == 1


async def test_a_silent_witness_delays_by_a_grace_only_once(place: Place) -> None:
    """The quorum is met without it; the next checkpoints don't wait for it at all."""
    urls = {"w1": (await place.witness("w1")).url, "w2": await place.server(silent)}
    collector = place.collector(policy(1, **urls), fail_open=False)
    started_s = time.monotonic()
    await collector.gather(TRUE.note(40), 40)
    assert GRACE_S <= time.monotonic() - started_s < 4
    started_s = time.monotonic()
    for size in (41, 42, 43, 44):
        await collector.gather(TRUE.note(size), size)
    assert time.monotonic() - started_s < 4 * GRACE_S
    assert count(collector, "w2", "late") == 5


async def test_a_slow_witness_within_the_grace_is_in_the_note(place: Place) -> None:
    """Readers with a stricter policy find it there."""

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(GRACE_S / 5)
        return await signs("w2")(request)

    demanded = policy(1, w1=await place.server(signs("w1")), w2=await place.server(slow))
    note = await place.collector(demanded).gather(TRUE.note(40), 40)
    assert cosigners(demanded, note) == ["w1", "w2"]


async def test_fail_open_publishes_without_the_quorum_when_the_time_is_up(place: Place) -> None:
    """With those that did cosign; the operator sees who didn't."""
    urls = {"w1": (await place.witness("w1")).url, "w2": await place.server(silent)}
    demanded = policy(2, **urls)
    collector = place.collector(demanded, timeout_s=0.3)
    started_s = time.monotonic()
    note = await collector.gather(TRUE.note(40), 40)
    assert 0.3 <= time.monotonic() - started_s < 4
    assert cosigners(demanded, note) == ["w1"]
    assert "published without" in collector.trouble
    assert "w2" in collector.trouble
    without = collector.metrics.registry.get_sample_value("mixmint_board_checkpoints_without_quorum_total")
    assert without == 1


async def test_fail_closed_waits_and_goes_on_when_the_witness_is_back(place: Place) -> None:
    """Nothing is returned meanwhile, and the reason can be read."""
    up, asked_thrice = asyncio.Event(), asyncio.Event()

    async def moody(request: web.Request) -> web.StreamResponse:
        if len(place.asked) == 3:
            asked_thrice.set()
        return await signs("w1")(request) if up.is_set() else web.Response(status=503)

    demanded = policy(1, w1=await place.server(moody))
    collector = place.collector(demanded, timeout_s=0.05, fail_open=False)
    gathering = asyncio.create_task(collector.gather(TRUE.note(40), 40))
    async with asyncio.timeout(10):
        await asked_thrice.wait()
    assert not gathering.done()
    assert "rounds wait" in collector.trouble
    assert "w1 (it answers 503)" in collector.trouble
    up.set()
    async with asyncio.timeout(10):
        assert cosigners(demanded, await gathering) == ["w1"]
    assert collector.trouble == ""


async def test_failing_closed_needs_witnesses_that_can_be_asked(place: Place) -> None:
    """Otherwise the board would wait for ever; the policy's mistake is told at the start."""
    text = f"witness w1 {key('w1').text()}\nquorum w1\n"
    with pytest.raises(UserError, match="URL"):
        place.collector(parse_policy(text), fail_open=False)
    collector = place.collector(parse_policy(text))
    assert await collector.gather(TRUE.note(40), 40) == TRUE.note(40)
    assert "none can be asked" in collector.trouble


def test_a_policy_about_another_log_is_refused() -> None:
    """Readers would demand the signature of a log that this board never makes."""
    check_policy(parse_policy(f"log {LOG.text()}\nquorum none"), LOG, fail_open=False)
    check_policy(parse_policy("quorum none"), LOG, fail_open=False)
    for other in (VerifierKey("else.example.org", LOG.public), VerifierKey(ORIGIN, b"k" * 32)):
        with pytest.raises(UserError, match="this board's is"):
            check_policy(parse_policy(f"log {other.text()}\nquorum none"), LOG, fail_open=True)


async def test_without_a_quorum_witnesses_are_asked_and_none_is_needed(place: Place) -> None:
    """`quorum none`: their cosignatures are for others."""
    text = f"witness w1 {key('w1').text()} {await place.server(signs('w1'))}\nquorum none\n"
    demanded = parse_policy(text)
    note = await place.collector(demanded, fail_open=False).gather(TRUE.note(40), 40)
    assert cosigners(demanded, note) == ["w1"]
    assert await place.collector(parse_policy("quorum none")).gather(TRUE.note(40), 40) == TRUE.note(40)


BAD_ANSWERS = {
    "another text": (signs("w1", text=lambda text: text.replace("40", "41")), "signature"),
    "another's name": (says(200, "— w9.example.org 1111aaaa\n".encode()), "cosignature"),
    "another's key": (signs("w2"), "cosignature"),
    "from the future": (signs("w1", time_s=NOW_S + 7200), "time"),
    "a time beyond all clocks": (signs("w1", time_s=2**64 - 1), "time"),
    "nothing": (says(200), "note"),
    "a page": (says(200, "<html>"), "note"),
    "a second note": (says(200, TRUE.note(40).encode()), "answer"),
    "another note": (says(200, b"x\n\n" + TRUE.note(40).encode().partition(b"\n\n")[2]), "answer"),
    "too much": (says(200, b"x" * (MOST_ANSWER_BYTES + 1)), "size"),
    "a redirect": (says(307), "refused"),
    "unknown log": (says(404), "refused"),
    "unknown key": (says(403), "refused"),
    "a size that is none": (says(409, "many\n", "text/x.tlog.size"), "answer"),
    "no size": (says(409, "", "text/x.tlog.size"), "answer"),
    "a size too long": (says(409, "9" * 5000 + "\n", "text/x.tlog.size"), "answer"),
    "a size beyond all trees": (says(409, f"{2**63}\n", "text/x.tlog.size"), "answer"),
    "trouble": (says(500), "unavailable"),
    "too many": (says(429), "unavailable"),
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
async def test_what_a_witness_must_not_answer_counts_for_nothing(place: Place, what: str) -> None:
    """Nothing of it is in the note, the reason is counted, and the others' cosignatures stand."""
    answer, reason = BAD_ANSWERS[what]
    demanded = policy(1, w1=await place.server(answer), w2=await place.server(signs("w2")))
    collector = place.collector(demanded)
    note = await collector.gather(TRUE.note(40), 40)
    assert cosigners(demanded, note) == ["w2"]
    assert len(note.signatures) == 2
    assert count(collector, "w1", reason) == 1


async def test_an_endless_answer_is_cut_off(place: Place) -> None:
    """Bytes for ever, and bytes now and then for ever."""

    def streams(part: bytes, pause_s: float) -> Answer:
        async def answer(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse()
            await response.prepare(request)
            while True:
                await response.write(part)
                await asyncio.sleep(pause_s)

        return answer

    fast, trickle = await place.server(streams(b"x" * 4096, 0)), await place.server(streams(b"x", 0.02))
    collector = place.collector(policy(1, w1=fast, w2=trickle), timeout_s=0.5)
    started_s = time.monotonic()
    note = await collector.gather(TRUE.note(40), 40)
    assert time.monotonic() - started_s < 4
    assert note == TRUE.note(40)
    assert count(collector, "w1", "size") == 1
    assert count(collector, "w2", "late") + count(collector, "w2", "unavailable") == 1


async def test_a_witness_that_names_size_after_size_is_given_up(place: Place) -> None:
    """Three requests for a checkpoint at most, whatever it says."""
    sizes = iter((30, 20, 10, 5))

    async def restless(_: web.Request) -> web.StreamResponse:
        return web.Response(status=409, text=f"{next(sizes)}\n")

    collector = place.collector(policy(1, w1=await place.server(restless)))
    assert await collector.gather(TRUE.note(40), 40) == TRUE.note(40)
    assert [each.old for each in place.asked] == [40, 30, 20]
    assert count(collector, "w1", "answer") == 1


async def test_a_restored_board_is_refused_by_what_the_witness_has_seen(place: Place) -> None:
    """More leaves than we have, found at the start, and when the first new checkpoint comes."""
    witness = await place.witness("w1")
    demanded = policy(1, w1=witness.url)
    await place.collector(demanded).gather(TRUE.note(90), 90)
    restored = place.collector(demanded)
    with pytest.raises(FatalError, match=f"has seen 90 leaves of {ORIGIN}, this board has 40"):
        await restored.check_start(TRUE.note(40), 40)
    with pytest.raises(FatalError, match="has seen 90"):
        await restored.gather(TRUE.note(40), 40)
    with pytest.raises(FatalError, match="has seen 90"):
        await place.collector(demanded).check_start(TRUE.note(0), 0)


async def test_a_forked_board_is_refused_by_what_the_witness_has_seen(place: Place) -> None:
    """As many leaves with another root; and more of them, that don't continue what it saw."""
    witness = await place.witness("w1")
    demanded = policy(1, w1=witness.url)
    await place.collector(demanded).gather(TRUE.note(90), 90)
    for size, why in ((90, "with another root"), (95, "don't continue them")):
        forked = place.collector(demanded, FORKED)
        with pytest.raises(FatalError, match=why):
            await forked.check_start(FORKED.note(size), size)
        with pytest.raises(FatalError, match=why):
            await forked.gather(FORKED.note(size), size)
    # Nor when others would be enough.
    others = policy(1, w2=await place.server(signs("w2")), w1=witness.url)
    with pytest.raises(FatalError, match="another root"):
        await place.collector(others, FORKED).gather(FORKED.note(90), 90)


@pytest.mark.parametrize(
    "answer",
    [says(409, "40\n", "text/x.tlog.size"), says(409), says(409, "fork\n"), says(422)],
    ids=["its size", "nothing", "a word", "422"],
)
async def test_another_root_is_understood_as_every_witness_says_it(place: Place, answer: Answer) -> None:
    """The protocol's page has said it in two ways, and left the body open."""
    collector = place.collector(policy(1, w1=await place.server(answer)))
    with pytest.raises(FatalError, match="w1 has seen 40 leaves"):
        await collector.gather(TRUE.note(40), 40)


async def test_a_conflict_without_a_size_says_nothing_of_a_larger_log(place: Place) -> None:
    """There is no other root to speak of: it is a mistake of the witness's, and stops nobody."""
    answers = iter((signs("w1"), says(409)))

    async def answer(request: web.Request) -> web.StreamResponse:
        return await next(answers)(request)

    collector = place.collector(policy(1, w1=await place.server(answer)))
    await collector.gather(TRUE.note(40), 40)
    assert await collector.gather(TRUE.note(60), 60) == TRUE.note(60)
    assert count(collector, "w1", "answer") == 1


async def test_a_start_is_not_held_up_by_witnesses_that_are_away(place: Place) -> None:
    """Dead, silent, and not knowing us: told in the log. Only a log that fails open signs without them."""
    demanded = policy(
        1,
        w1=f"http://127.0.0.1:{free_port()}",
        w2=await place.server(silent),
        w3=await place.server(says(404)),
    )
    started_s = time.monotonic()
    assert not await place.collector(demanded, timeout_s=0.3, fail_open=False).check_start(TRUE.note(40), 40)
    assert await place.collector(demanded, timeout_s=0.3, fail_open=True).check_start(TRUE.note(40), 40)
    assert time.monotonic() - started_s < 4


async def test_a_start_asks_every_witness_not_just_a_quorum(place: Place) -> None:
    """The one that knows better may be the slowest."""

    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(2 * GRACE_S)
        return web.Response(status=409, text="41\n")

    demanded = policy(1, w1=await place.server(signs("w1")), w2=await place.server(slow))
    with pytest.raises(FatalError, match="w2 has seen 41"):
        await place.collector(demanded).check_start(TRUE.note(40), 40)


async def test_a_url_that_is_none_stops_nobody(place: Place) -> None:
    """A mistake in the policy is one witness less."""
    demanded = policy(1, w1="ftp//nowhere", w2=await place.server(signs("w2")))
    assert cosigners(demanded, await place.collector(demanded).gather(TRUE.note(40), 40)) == ["w2"]
