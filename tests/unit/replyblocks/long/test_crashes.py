"""Killed at any step, on either side: asked again it goes on, and the service does its work once."""

import asyncio
import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from mix.packet.geometry import Addressed, Token
from mixmint.keys import SigningKey
from replyblocks.long.box import Box
from replyblocks.long.formats import Head
from replyblocks.long.requests import LongRequests
from replyblocks.post import Post
from tests.unit.replyblocks.fake_network import FakeItem
from tests.unit.replyblocks.reliability.paper_packets import on_paper
from tests.unit.replyblocks.reliability.town import KilledError, LossyLink, Mailboxes, Town

BODY = os.urandom(5000)
STEPS = 40
"""More calls than there are."""

T = TypeVar("T")


class MortalLink(LossyLink):
    """
    Its process dies at the so-many-eth call to the gateway: before the gateway hears it, or after. What is
    dead stays dead.
    """

    def __init__(self, network: Mailboxes, owner: SigningKey, dies_at: int) -> None:
        super().__init__(network, owner)
        self._calls_left = dies_at
        self.is_dead = False

    async def register(self, tokens: Sequence[Token]) -> None:
        await self._do(lambda: super(MortalLink, self).register(tokens))

    async def submit(self, packets: Sequence[Addressed]) -> None:
        await self._do(lambda: super(MortalLink, self).submit(packets))

    async def fetch(self, wait_s: float, acknowledge: Sequence[int] = ()) -> list[FakeItem]:
        return await self._do(lambda: super(MortalLink, self).fetch(wait_s, acknowledge))

    async def _do(self, call: Callable[[], Awaitable[T]]) -> T:
        self._calls_left -= 1
        if self.is_dead or self._calls_left == 0:
            self.is_dead = True
            raise KilledError
        done = await call()
        self._calls_left -= 1
        if self._calls_left == 0:
            self.is_dead = True
            raise KilledError
        return done


async def ask(town: Town, post: Post, request_id: bytes) -> bytes:
    expires_s = int(town.now_s() + post.long_lifetime_s)
    return await post.ask_long("echo", request_id, BODY, expires_s, post.long_lifetime_s)


def visit(folder: Path, dies: dict[str, int], box: Box | None = None) -> list[bool]:
    """
    One long request with an answer of several parts, asked again after its asker was killed; whether each of
    ``dies`` (who, at which call) really died.
    """
    town = Town(folder)
    town.box = box or town.box
    town.answer_times = 2
    answers, links = [], {}
    service = town.network.services["echo"].owner.public

    def link(owner: SigningKey) -> LossyLink:
        who = "service" if owner.public == service else "asker"
        if who in dies and who not in links:
            links[who] = MortalLink(town.network, owner, dies[who])
            return links[who]
        return LossyLink(town.network, owner)

    town.network.link = link  # type: ignore[method-assign]  # the first process of each dies

    async def work(_: list[Post]) -> None:
        request_id = os.urandom(16)
        for _ in range(2):
            with suppress(KilledError):
                async with town.post(0) as post:
                    answers.append(await ask(town, post, request_id))
                    assert await ask(town, post, request_id) == answers[-1]
            await asyncio.sleep(1)

    town.visit(0, work)
    assert answers[-1] == (b"done: " + BODY) * 2
    assert town.executed == {BODY: 1}
    return [links[who].is_dead for who in dies]


@pytest.mark.parametrize("who", ["asker", "service"])
def test_killed_at_any_call(tmp_path: Path, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after each packet, fetch and acknowledgement."""
    # Who is killed doesn't tidy up.
    monkeypatch.setattr(LongRequests, "not_taken", lambda *_: None)
    died = []
    with on_paper():
        for step in range(1, STEPS):
            folder = tmp_path / str(step)
            folder.mkdir()
            died += visit(folder, {who: step})
            if not died[-1]:
                break
    assert died.count(True) >= 10
    assert not died[-1]


class MortalBox(Box):
    """The process dies between the handler's answer and its being kept."""

    def __init__(self) -> None:
        super().__init__()
        object.__setattr__(self, "deaths", [])

    def keep_answer(self, connection: sqlite3.Connection, head: Head, answer: bytes) -> None:
        deaths: list[bytes] = object.__getattribute__(self, "deaths")
        if not deaths:
            deaths.append(answer)
            raise KilledError
        super().keep_answer(connection, head, answer)


def test_killed_between_the_work_and_its_answer(tmp_path: Path) -> None:
    """The handler is asked again, and gives the answer that it remembers."""
    with on_paper():
        assert visit(tmp_path, {}, MortalBox()) == []
