"""The gateway's store under its daemon: what is counted is what is on disk."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

from mix import mailbox
from mix.client_port import GatewayStore, Limits
from mix.mailbox import Quota
from mix.packet.geometry import ADDRESSED_BYTES
from mixmint.database import Writer, open_database


async def test_a_submission_whose_sender_is_gone_is_counted_and_sent(tmp_path: Path) -> None:
    """The write happens all the same; uncounted, the packet would wait until the next start."""
    writer = Writer(open_database(tmp_path / "gateway.db", mailbox.SCHEMA))
    store = GatewayStore(writer, Limits(Quota(3, 16, 2), 1000, 300), 0)
    packet = os.urandom(ADDRESSED_BYTES)
    submitting = asyncio.create_task(store.submit(b"o" * 32, [("m1", packet)]))
    await asyncio.sleep(0)
    submitting.cancel()
    with suppress(asyncio.CancelledError):
        await submitting
    assert submitting.cancelled()
    assert store.waiting == 1
    frame = await store.next_frame("m1")
    assert frame is not None
    assert frame.packets == packet
    await writer.close()


async def test_what_waits_for_a_first_mix_that_has_left_goes(tmp_path: Path) -> None:
    """Queued or framed; what others wait for stays, and the count is of what is there."""
    writer = Writer(open_database(tmp_path / "gateway.db", mailbox.SCHEMA))
    store = GatewayStore(writer, Limits(Quota(3, 16, 2), 1000, 300), 0)
    for peer in ("m1", "m4", "m4"):
        await store.submit(b"o" * 32, [(peer, os.urandom(ADDRESSED_BYTES))])
    assert await store.next_frame("m4") is not None
    await store.submit(b"o" * 32, [("m4", os.urandom(ADDRESSED_BYTES))])
    await store.drop_for_others({"m1", "m2"})
    assert store.waiting == 1
    assert await store.next_frame("m4") is None
    assert await store.next_frame("m1") is not None
    await writer.close()
