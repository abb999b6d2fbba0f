"""One socket over generations: requests wait for the next server; a peer that left is refused by name."""

import asyncio
import os
import time
from pathlib import Path

import msgspec
import pytest

from mix.certificates import make_certificate
from mix.directory import Node
from mix.frame import Frame, FrameId
from mix.links import port as port_module
from mix.links.port import LinkPort
from mix.links.sender import LinkSender
from mix.links.server import LinkServer
from mix.packet.geometry import ADDRESSED_BYTES
from mix.settings import MixSettings
from mixmint.keys import write_new, write_secret
from tests.ports import free_ports
from tests.unit.mix.networks import make_network, until

TICK_S = 0.02


class Sink:
    """An intake that takes everything."""

    def __init__(self) -> None:
        self.frames: list[FrameId] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def accept(self, frame: Frame) -> bool:
        self.frames.append(frame.id)
        await self.gate.wait()
        return True


class Place:
    """m2's port, and m1 and m3 beside it with certificates of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.refused: list[str] = []
        self.nodes: dict[str, Node] = {}
        for node in make_network().directory.nodes[:3]:
            made = make_certificate(node.name, time.time())
            self.write(node.name, made.key_pem, made.certificate_pem)
            self.nodes[node.name] = msgspec.structs.replace(node, certificate=made.certificate_der)
        (link_port,) = free_ports(1)
        self.nodes["m2"] = msgspec.structs.replace(self.nodes["m2"], link_port=link_port)
        settings = MixSettings(
            name="m2",
            network=folder / "network.toml",
            link_host="127.0.0.1",
            link_port=link_port,
            operations_port=1,
            certificate_path=folder / "m2.crt",
            key_path=folder / "m2.key",
        )
        self.port = LinkPort(settings, self.refused.append)

    def write(self, name: str, key: bytes, certificate: bytes) -> None:
        for path in (self.folder / f"{name}.key", self.folder / f"{name}.crt"):
            path.unlink(missing_ok=True)
        write_secret(self.folder / f"{name}.key", key)
        write_new(self.folder / f"{name}.crt", certificate)

    async def use(self, *names: str) -> Sink:
        sink, peers = Sink(), [self.nodes[name] for name in names]
        await self.port.use(LinkServer(sink, peers, TICK_S, self.refused.append), peers, TICK_S)
        return sink

    async def send(self, name: str) -> str:
        """A frame from this node, on a connection of its own."""
        sender = LinkSender(
            self.nodes["m2"], self.folder / f"{name}.crt", self.folder / f"{name}.key", TICK_S
        )
        try:
            return await sender.send(Frame(FrameId(os.urandom(16)), os.urandom(ADDRESSED_BYTES)))
        finally:
            await sender.close()


async def test_a_new_peer_is_let_in_and_one_that_left_is_refused(tmp_path: Path) -> None:
    """On the same socket; the old one gets through the handshake, and no further."""
    place = Place(tmp_path)
    try:
        await place.use("m1")
        assert await place.send("m1") == "acknowledged"
        assert await place.send("m3") == "unreachable"
        await place.port.pause()
        sink = await place.use("m3")
        assert await place.send("m3") == "acknowledged"
        assert await place.send("m1") == "refused"
        assert len(sink.frames) == 1
        assert "stranger" in place.refused
    finally:
        await place.port.stop()


async def test_between_two_servers_a_request_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is taken by the next; one that waits for too long is told to come again."""
    place = Place(tmp_path)
    try:
        first = await place.use("m1")
        await place.port.pause()
        sending = asyncio.create_task(place.send("m1"))
        await asyncio.sleep(0.1)
        assert not sending.done()
        second = await place.use("m1")
        assert await sending == "acknowledged"
        assert (len(first.frames), len(second.frames)) == (0, 1)
        await place.port.pause()
        monkeypatch.setattr(port_module, "LONGEST_WAIT_S", 0.05)
        assert await place.send("m1") == "busy"
    finally:
        await place.port.stop()


async def test_a_new_certificate_is_shown_from_the_next_connection_on(tmp_path: Path) -> None:
    """Without a new socket."""
    place = Place(tmp_path)
    try:
        await place.use("m1")
        made = make_certificate("m2", time.time())
        place.write("m2", made.key_pem, made.certificate_pem)
        before = place.nodes["m2"]
        await place.port.pause()
        await place.use("m1")
        assert await place.send("m1") == "unreachable"
        place.nodes["m2"] = msgspec.structs.replace(before, next_certificate=made.certificate_der)
        assert await place.send("m1") == "acknowledged"
    finally:
        await place.port.stop()


async def test_a_frame_in_hand_is_finished_before_its_server_goes(tmp_path: Path) -> None:
    """As long as that doesn't take too long: it would be sent again, for nothing."""
    place = Place(tmp_path)
    try:
        sink = await place.use("m1")
        sink.gate.clear()
        sending = asyncio.create_task(place.send("m1"))
        await until(lambda: sink.frames)
        pausing = asyncio.create_task(place.port.pause())
        await asyncio.sleep(0.05)
        assert not pausing.done()
        sink.gate.set()
        await pausing
        assert await sending == "acknowledged"
    finally:
        await place.port.stop()
