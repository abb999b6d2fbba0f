"""What a witness must not answer counts for nothing; what it has seen stops a board that goes back."""

import asyncio
import time

import pytest
from aiohttp import web

from bank.board.witness.asking import MOST_ANSWER_BYTES
from mixmint.errors import FatalError
from tests.unit.bank.board.witness.collecting import Answer, Place, cosigners, count, policy, says, signs
from tests.unit.bank.board.witness.histories import FORKED, NOW_S, ORIGIN, TRUE


async def test_a_redirect_is_not_followed(place: Place) -> None:
    """A witness says where it is in the policy; nobody sends the board elsewhere."""
    true = await place.server(signs("w1"))

    async def elsewhere(_: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": true + "/add-checkpoint"})

    collector = place.collector(policy(1, w1=await place.server(elsewhere)))
    assert await collector.gather(TRUE.note(40), 40) == TRUE.note(40)
    assert len(place.asked) == 1
    assert count(collector, "w1", "refused") == 1


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
