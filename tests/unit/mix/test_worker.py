"""Unwrapping processes: results, crashes, and how they end."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mix.packet.batch import MAILBOX, RELAY, Batch, decode_batch, unwrap_batch
from mix.packet.build import build_forward
from mix.packet.geometry import ADDRESSED_BYTES, KeyId
from mix.unwrapper import decode_keys, encode_keys
from mix.worker import Workers
from mixmint.errors import Unavailable
from tests.unit.mix.packet.paths import Keys


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys.generate()


def workers(keys: Keys, count: int) -> Workers:
    return Workers({keys.route.hops[0].key_id: keys.boxes[0].secret}, RELAY, count)


def as_set(batch: Batch) -> set[tuple[object, bytes]]:
    starts = range(0, len(batch.packets), ADDRESSED_BYTES)
    return set(zip(batch.names, (batch.packets[at : at + ADDRESSED_BYTES] for at in starts), strict=True))


def in_process(keys: Keys, frame: bytes) -> Batch:
    secrets = {keys.route.hops[0].key_id: keys.boxes[0].secret}
    return decode_batch(unwrap_batch(secrets, RELAY, frame, os.urandom))


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("count", [0, 1, 2])
async def test_a_worker_unwraps_as_this_process_does(keys: Keys, count: int) -> None:
    """A frame of the largest size, and several at once."""
    frames = [b"".join(build_forward(keys.route, b"") for _ in range(size)) for size in (1, 3, 40)]
    frames.append(frames[2] * 6 + frames[1] * 5 + frames[0])
    async with workers(keys, count) as pool:
        batches = await asyncio.gather(*(pool.unwrap(frame) for frame in frames))
        for frame, batch in zip(frames, batches, strict=True):
            assert as_set(batch) == as_set(in_process(keys, frame))
            assert len(batch.names) == len(frame) // ADDRESSED_BYTES


async def test_a_killed_worker_is_replaced_and_its_frame_tried_again(keys: Keys) -> None:
    """kill -9 between two frames and in the middle of one; nobody notices."""
    frame = build_forward(keys.route, b"") * 256
    async with workers(keys, 1) as pool:
        await pool.unwrap(frame[:ADDRESSED_BYTES])
        (first,) = pool.pids
        os.kill(first, signal.SIGKILL)
        assert len((await pool.unwrap(frame)).names) == 256
        (second,) = pool.pids
        assert second != first
        running = asyncio.create_task(pool.unwrap(frame))
        await asyncio.sleep(0)
        os.kill(second, signal.SIGKILL)
        assert len((await running).names) == 256


async def test_workers_that_keep_dying_are_said_to(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the second one the caller hears of it: it must not acknowledge the frame."""
    async with workers(keys, 1) as pool:
        monkeypatch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(Unavailable, match="unexpectedly"):
            await pool.unwrap(build_forward(keys.route, b""))


async def test_a_cancelled_frame_does_not_answer_the_next_one(keys: Keys) -> None:
    async with workers(keys, 1) as pool:
        await pool.unwrap(b"")
        running = asyncio.create_task(pool.unwrap(build_forward(keys.route, b"") * 256))
        await asyncio.sleep(0.002)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len((await pool.unwrap(build_forward(keys.route, b""))).names) == 1


async def test_signals_for_the_parent_do_not_stop_a_worker(keys: Keys) -> None:
    """Ctrl-C and a service manager's SIGTERM reach the whole group; frames in hand are still finished."""
    async with workers(keys, 1) as pool:
        await pool.unwrap(b"")
        pids = pool.pids
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pids[0], number)
        assert len((await pool.unwrap(build_forward(keys.route, b""))).names) == 1
        assert pool.pids == pids


async def test_closing_ends_the_processes(keys: Keys) -> None:
    async with workers(keys, 2) as pool:
        await asyncio.gather(*(pool.unwrap(build_forward(keys.route, b"") * 50) for _ in range(2)))
        pids = pool.pids
        assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)
    with pytest.raises(Unavailable, match="stopping"):
        await pool.unwrap(b"")


PARENT = """
import asyncio, os, sys
from mix.packet.batch import RELAY
from mix.worker import Workers

async def main():
    async with Workers({b"k" * 16: bytes.fromhex(sys.stdin.readline())}, RELAY, 1) as pool:
        await pool.unwrap(b"")
        print(*pool.pids, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_worker_ends_with_its_parent_and_shows_no_secret() -> None:
    """Even when the parent is killed with SIGKILL. Its command line and environment have no key in them."""
    secret = os.urandom(32)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write(secret.hex().encode() + b"\n")
        parent.stdin.flush()
        pid = int(parent.stdout.readline())
        shown = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert b"mix.unwrapper" in shown
        assert secret not in shown
        assert secret.hex().encode() not in shown
        worker = os.pidfd_open(pid)
        parent.kill()
    ended, _, _ = select.select([worker], [], [], 10)
    if not ended:
        signal.pidfd_send_signal(worker, signal.SIGKILL)
    os.close(worker)
    assert ended, "the worker outlives its parent"


def test_a_worker_imports_only_what_it_needs() -> None:
    """Memory counts once per core: no event loop, no web server, no petlib."""
    listing = "import sys, mix.unwrapper; print(*sys.modules)"
    modules = set(subprocess.check_output([sys.executable, "-c", listing], text=True).split())
    assert "mix.packet.unwrap" in modules
    assert not modules & {"asyncio", "aiohttp", "sphinxmix", "petlib", "sqlite3", "msgspec"}


def test_keys_are_read_as_written() -> None:
    secrets = {KeyId(os.urandom(16)): os.urandom(32) for _ in range(3)}
    assert decode_keys(encode_keys(secrets, MAILBOX)) == (secrets, MAILBOX)
