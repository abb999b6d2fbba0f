"""Stored answers."""

import os
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mixmint.database import Writer
from mixmint.errors import UserError
from replyblocks.blocks import SKEW_S
from replyblocks.remembering import PRUNE_EVERY_S, Remembering, open_answers
from replyblocks.service import Request

COUNTER = "CREATE TABLE counter (number INTEGER NOT NULL); INSERT INTO counter VALUES (0);"


def count(connection: sqlite3.Connection, request: Request) -> bytes:
    """An operation that isn't idempotent: a counter."""
    if request.body == b"fail":
        connection.execute("UPDATE counter SET number = number + 100")
        raise UserError("no")
    (number,) = connection.execute("UPDATE counter SET number = number + 1 RETURNING number").fetchone()
    return b"%d" % number


class Desk:
    def __init__(self, path: Path, most_kept: int = 1000) -> None:
        self.now_s = 1000.0
        self.path = path
        self.writer = Writer(open_answers(path, [COUNTER]))
        self.handler = Remembering(self.writer, count, most_kept=most_kept, now_s=lambda: self.now_s)

    async def ask(self, *requests: Request) -> list[bytes]:
        return list(await self.handler.handle(requests))

    async def kept(self) -> int:
        return await self.writer.run(lambda db: db.execute("SELECT COUNT(*) FROM answer").fetchone()[0])


def request(body: bytes = b"add", expires_s: int = 2000) -> Request:
    return Request(os.urandom(16), body, expires_s)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path / "answers.db")
    yield desk
    await desk.writer.close()


async def test_the_same_request_is_worked_on_once(desk: Desk, tmp_path: Path) -> None:
    """Also after a restart."""
    first, second = request(), request()
    assert await desk.ask(first, second) == [b"1", b"2"]
    assert await desk.ask(second, first, request()) == [b"2", b"1", b"3"]
    await desk.writer.close()
    again = Desk(tmp_path / "answers.db")
    assert await again.ask(first) == [b"1"]
    await again.writer.close()


async def test_the_same_id_with_another_body_is_refused(desk: Desk) -> None:
    """With the empty answer; the stored one stays."""
    first = request()
    await desk.ask(first)
    assert await desk.ask(Request(first.request_id, b"other", 2000)) == [b""]
    assert await desk.ask(first) == [b"1"]


async def test_what_fails_leaves_nothing_behind(desk: Desk) -> None:
    """Effect and answer are one transaction: the whole batch comes again, and counts once."""
    good = request()
    with pytest.raises(UserError):
        await desk.ask(good, request(b"fail"))
    assert await desk.kept() == 0
    assert await desk.ask(good) == [b"1"]


async def test_answers_are_kept_as_long_as_a_resend_can_come(desk: Desk) -> None:
    """Until the expiry and the skew are over, and not much longer."""
    await desk.ask(request(expires_s=2000))
    desk.now_s = 2000 + SKEW_S
    await desk.ask()
    assert await desk.kept() == 1
    desk.now_s += PRUNE_EVERY_S + 1
    await desk.ask()
    assert await desk.kept() == 0


async def test_an_answer_lives_as_long_as_the_latest_expiry_of_its_request(desk: Desk) -> None:
    """Asked anew with a later expiry while the answer is there, resends come until that one is over."""
    first = request(expires_s=2000)
    anew = replace(first, expires_s=9000)
    assert await desk.ask(first) == [b"1"]
    desk.now_s = 2100
    assert await desk.ask(anew) == [b"1"]
    assert await desk.ask(first) == [b"1"]
    desk.now_s = 8000
    await desk.ask()
    assert await desk.ask(anew) == [b"1"]


async def test_a_flood_pushes_out_those_that_live_longest(tmp_path: Path) -> None:
    """The bound holds, and an honest request's answer is still there."""
    desk = Desk(tmp_path / "answers.db", most_kept=10)
    honest = request(expires_s=1500)
    await desk.ask(honest)
    desk.now_s += PRUNE_EVERY_S + 1
    await desk.ask(*(request(expires_s=600_000) for _ in range(50)))
    assert await desk.kept() == 10
    assert await desk.ask(honest) == [b"1"]
    await desk.writer.close()


async def test_the_answers_bytes_are_bounded_too(tmp_path: Path) -> None:
    """Long answers go by the same rule: those that want to live longest."""
    desk = Desk(tmp_path / "answers.db")
    desk.handler = Remembering(
        desk.writer, lambda _, asked: asked.body, most_bytes=1000, now_s=lambda: desk.now_s
    )
    honest = request(b"x" * 300, expires_s=1500)
    await desk.ask(honest)
    desk.now_s += PRUNE_EVERY_S + 1
    await desk.ask(*(request(bytes(300), expires_s=600_000) for _ in range(50)))
    assert await desk.kept() == 3
    assert await desk.ask(honest) == [b"x" * 300]
    await desk.writer.close()


async def test_the_long_form_of_a_request_is_another_request(desk: Desk) -> None:
    """Whatever its body: an answer that only fits the long form must never be given to the short one."""
    short = request()
    assert await desk.ask(short) == [b"1"]
    assert await desk.ask(replace(short, most_answer_bytes=1 << 20)) == [b""]
