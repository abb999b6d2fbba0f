"""The witness over HTTP: every status, its bounds, and what its operator sees."""

import asyncio
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from bank.board.log.note import MOST_NOTE_BYTES, Note, VerifierKey
from bank.board.log.policy import load_policy
from bank.board.witness.core import MOST_REQUEST_BYTES
from bank.board.witness.daemon import read_logs
from bank.board.witness.settings import WitnessSettings
from mixmint.errors import UserError
from mixmint.keys import SigningKey
from mixmint.settings import load
from tests.unit.bank.board.witness.daemons import running_witness
from tests.unit.bank.board.witness.histories import FORKED, LOG, NOW_S, ORIGIN, TRUE, WITNESS, History

ROOT = Path(__file__).parents[5]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def cosignature(history: History, size: int, line: str) -> int:
    """The time in a witness's answer; it must be one line, by its key, over the log's text."""
    assert line.count("\n") == 1
    note = Note.decode(history.note(size).encode() + line.encode())
    return note.signed_by([WITNESS])[WITNESS].time_s


async def test_every_status_of_the_protocol(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """In the order in which a log may meet them, with their media types and bodies."""
    async with running_witness(tmp_path, session) as witness:
        status, media, line = await witness.post(TRUE.request(0, 40))
        assert (status, media) == (200, "text/plain; charset=utf-8")
        assert cosignature(TRUE, 40, line) == NOW_S
        assert await witness.post(TRUE.request(40, 40)) == (status, media, line)
        assert await witness.post(TRUE.request(0, 60)) == (409, "text/x.tlog.size", "40\n")
        assert (await witness.post(FORKED.request(40, 90)))[0] == 200
        assert await witness.post(TRUE.request(40, 90)) == (409, "text/x.tlog.size", "90\n")
        assert await witness.post(TRUE.request(90, 90)) == (409, "text/plain; charset=utf-8", "fork\n")
        for body, expected in (
            (b"hello", 400),
            (TRUE.request(90, 40, []), 400),
            (History(key=SigningKey(b"s" * 32)).request(90, 95), 403),
            (History(origin="other.example.org").request(0, 9), 404),
            (TRUE.request(90, 95), 422),
        ):
            status, media, text = await witness.post(body)
            assert (status, media) == (expected, "text/plain; charset=utf-8")
            assert text in {"malformed\n", "old\n", "signature\n", "origin\n", "proof\n"}
        status, _, line = await witness.post(FORKED.request(90, 600))
        assert (status, cosignature(FORKED, 600, line)) == (200, NOW_S)
        label = f'log="{ORIGIN}"'
        assert await witness.metric(f"mixmint_witness_cosignatures_total{{{label}}}") == 4
        assert await witness.metric(f"mixmint_witness_newest_size{{{label}}}") == 600
        assert await witness.metric(f"mixmint_witness_newest_time_seconds{{{label}}}") == NOW_S
        assert await witness.metric(f"mixmint_witness_forks_total{{{label}}}") == 1
        assert await witness.metric('mixmint_witness_refused_total{reason="proof"}') == 1
        assert await witness.metric('mixmint_witness_refused_total{reason="size"}') == 2
        assert await witness.health() == (200, "ok")


async def test_two_forks_at_once_over_http_one_is_cosigned(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """Forty connections, two pasts; all cosignatures are of one of them."""
    async with running_witness(tmp_path, session) as witness:
        await witness.post(TRUE.request(0, 40))
        answers = await asyncio.gather(
            *(witness.post(history.request(40, 60)) for _ in range(20) for history in (TRUE, FORKED))
        )
        good = [place % 2 for place, answer in enumerate(answers) if answer[0] == 200]
        assert len(good) == 1
        assert {answer[0] for answer in answers} == {200, 409}


async def test_restarted_it_still_knows(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """And its metrics say so before anybody has asked."""
    async with running_witness(tmp_path, session) as witness:
        await witness.post(TRUE.request(0, 40))
    async with running_witness(tmp_path, session, now_s=lambda: NOW_S + 60) as witness:
        assert await witness.metric(f'mixmint_witness_newest_size{{log="{ORIGIN}"}}') == 40
        assert (await witness.post(FORKED.request(0, 60)))[::2] == (409, "40\n")
        status, _, line = await witness.post(TRUE.request(40, 60))
        assert (status, cosignature(TRUE, 60, line)) == (200, NOW_S + 60)


async def test_a_prefix_is_part_of_the_path(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """Several witnesses can share a name behind one proxy."""
    async with running_witness(tmp_path, session, prefix="/w1") as witness:
        assert witness.url.endswith("/w1")
        assert (await witness.post(TRUE.request(0, 40)))[0] == 200
        for path in ("", "/", "/add-checkpoint/", "/add-checkpoint/x", "/../add-checkpoint"):
            assert (await witness.post(TRUE.request(40, 41), path))[0] == 404
        assert (await witness.post(TRUE.request(40, 41)))[0] == 200


async def test_what_is_not_a_bounded_post_is_refused(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """Another method, a body without a length, too long a one, and half a one: nobody is read for ever."""
    async with running_witness(tmp_path, session) as witness:
        url = witness.url + "/add-checkpoint"

        async def endless() -> AsyncIterator[bytes]:
            yield b"old 0\n"

        async with session.get(url) as response:
            assert (response.status, await response.read()) == (400, b"")
        async with session.post(url, data=endless()) as response:
            assert response.status == 400
        host, _, port = witness.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: {MOST_REQUEST_BYTES + 1}\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(5):
            assert (await reader.readline()).split()[1] == b"400"
        writer.close()
        assert MOST_REQUEST_BYTES < MOST_NOTE_BYTES + 4096
        assert await witness.metric('mixmint_witness_refused_total{reason="length"}') == 2
        assert (await witness.post(TRUE.request(0, 40)))[0] == 200


async def test_connections_are_bounded(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """Whoever opens many and says nothing doesn't keep more than the operator allows."""
    async with running_witness(tmp_path, session, most_connections=3) as witness:
        host, _, port = witness.url.removeprefix("http://").partition(":")
        pairs = [await asyncio.open_connection(host, int(port)) for _ in range(5)]
        async with asyncio.timeout(5):
            for reader, _ in pairs[3:]:
                with pytest.raises(ConnectionError):
                    # Aborted: a reset, or an end.
                    raise ConnectionResetError if not await reader.read(1) else AssertionError
        for _, writer in pairs:
            writer.close()
        assert await witness.metric('mixmint_witness_refused_total{reason="connections"}') == 2


async def test_a_wrong_clock_signs_nothing_and_the_operator_is_told(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """503 for the log, which tries again; it heals when the clock does."""
    now = [NOW_S]
    async with running_witness(tmp_path, session, now_s=lambda: now[0]) as witness:
        await witness.post(TRUE.request(0, 40))
        now[0] = NOW_S - 3600
        assert (await witness.post(TRUE.request(40, 60)))[::2] == (503, "clock\n")
        status, why = await witness.health()
        assert status == 503
        assert "clock is behind" in why
        now[0] = NOW_S + 1
        assert (await witness.post(TRUE.request(40, 60)))[0] == 200
        assert await witness.health() == (200, "ok")


async def test_a_store_that_cannot_write_answers_503_and_signs_nothing(
    tmp_path: Path, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: the log tries again later."""

    async def full(*_: object) -> None:
        raise UserError("the store can't write: disk full")

    async with running_witness(tmp_path, session) as witness:
        monkeypatch.setattr("bank.board.witness.store.WitnessStore.advance", full)
        assert (await witness.post(TRUE.request(0, 40)))[::2] == (503, "")
        assert await witness.health() == (503, "the store can't write: disk full")
        monkeypatch.undo()
        assert (await witness.post(TRUE.request(0, 40)))[0] == 200
        assert await witness.health() == (200, "ok")


def test_only_verifier_keys_of_logs_are_watched() -> None:
    """A mistyped key, or a witness's, is told at the start and not by 403 for ever."""
    second = VerifierKey(ORIGIN, b"2" * 32)
    assert read_logs([LOG.text(), second.text()]) == {ORIGIN: [LOG, second]}
    for wrong, why in ((LOG.text()[:-1], "no verifier key"), (WITNESS.text(), "a witness's key")):
        with pytest.raises(UserError, match=why):
            read_logs([wrong])


def test_the_example_policy_is_one_of_two_of_three() -> None:
    """And its first witness is the one of the example settings, which watch its log."""
    policy = load_policy(ROOT / "configs" / "example" / "policy")
    settings = load(ROOT / "configs" / "example" / "witness.toml", WitnessSettings)
    assert policy.log is not None
    assert settings.logs == (policy.log.text(),)
    assert policy.witnesses[0].key.name == settings.name
    assert policy.is_met(["w1", "w3"])
    assert not policy.is_met(["w2"])
    assert all(witness.url for witness in policy.witnesses)


def test_the_example_settings_name_every_setting_with_its_default() -> None:
    """configs/example/witness.toml is documentation that can't go stale."""
    path = ROOT / "configs" / "example" / "witness.toml"
    example = load(path, WitnessSettings)
    fields = {field.name: field for field in msgspec.structs.fields(WitnessSettings)}
    assert set(tomllib.loads(path.read_text())) == set(fields)
    assert read_logs(example.logs)
    for name, field in fields.items():
        value = getattr(example, name)
        if isinstance(value, Path):
            value = value.relative_to(path.parent)
        assert field.default in (value, msgspec.NODEFAULT) or name == "logs"
