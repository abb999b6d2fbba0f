"""A log gathers cosignatures from true witnesses over HTTP; some are slow, silent or away."""

import asyncio
import time

import pytest
from aiohttp import web

from bank.board.log.note import VerifierKey, cosign_text
from bank.board.log.policy import parse_policy
from bank.board.witness.collector import GRACE_S, check_policy
from mixmint.errors import FatalError, UserError
from mixmint.keys import SigningKey
from tests.unit.bank.board.witness.collecting import (
    SEEDS,
    Place,
    cosigners,
    count,
    key,
    policy,
    says,
    signs,
    silent,
)
from tests.unit.bank.board.witness.daemons import free_port
from tests.unit.bank.board.witness.histories import LOG, ORIGIN, TRUE


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
