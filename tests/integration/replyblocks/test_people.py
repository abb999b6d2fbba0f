"""Messages, doctor and the echo service by their commands, through a cascade of real processes."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mixmint.errors import PendingError
from replyblocks.address import decode_address
from replyblocks.echo import read_echo
from replyblocks.member import open_member
from replyblocks.post import Post
from tests.integration.network.harness import Network, mixmint
from tests.integration.replyblocks.echoing import with_echo

LONG = "a long story. " * 400


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Network]:
    """The cascade and an echo service behind g2."""
    network = with_echo(folder)
    try:
        await network.start()
        yield network
    finally:
        network.kill()


def read_everything(folder: Path) -> bytes:
    """All logs and databases."""
    files = [*folder.rglob("output.log"), *folder.rglob("*.db*")]
    return b"".join(path.read_bytes() for path in files)


class Person:
    """A member by his commands, as a program would run them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.home = folder / name
        self.letter = folder / f"{name}.txt"
        self.address_file = folder / f"{name}.address"

    async def run(self, *words: object, check: bool = True) -> Any:
        done = await asyncio.to_thread(mixmint, *words, "--home", self.home, "--json", check=check)
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout) if done.stdout else done

    async def create(self, network: Network, gateway: str) -> None:
        made = await self.run("address", "--create", "--network", network.network_file, "--gateway", gateway)
        self.address_file.write_text(made["address"])

    async def send(self, to: "Person", text: str) -> Any:
        self.letter.write_text(text)
        return await self.run("send", to.address_file, "--file", self.letter)

    async def reply(self, number: int, text: str) -> Any:
        self.letter.write_text(text)
        return await self.run("reply", number, "--file", self.letter)

    async def inbox(self) -> list[dict[str, Any]]:
        return list((await self.run("inbox", "--wait", 20))["messages"])


async def test_people_write_answer_and_check_their_connection(tmp_path: Path) -> None:
    """Back and forth by commands; then the doctor finds everything well; nothing secret is in any log."""
    async with running(tmp_path) as network:
        alice, bob = Person(tmp_path, "alice"), Person(tmp_path, "bob")
        await alice.create(network, "g1")
        await bob.create(network, "g2")
        await alice.send(bob, LONG)
        (message,) = await bob.inbox()
        assert (message["text"], message["answer_to"]) == (LONG, 0)
        await bob.reply(1, "\x1b[2Jwhat a story")
        (answer,) = await alice.inbox()
        assert (answer["text"], answer["answer_to"]) == ("\x1b[2Jwhat a story", 1)
        await alice.reply(1, "thank you")
        assert [one["text"] for one in await bob.inbox()] == [LONG, "thank you"]
        shown = await asyncio.to_thread(mixmint, "inbox", "--home", alice.home, "read", 1)
        assert "\\x1b[2Jwhat a story" in shown.stdout
        assert "\x1b[2J" not in shown.stdout
        sent = await asyncio.to_thread(mixmint, "inbox", "--home", alice.home, "--json", "sent")
        assert [one["state"] for one in json.loads(sent.stdout)["messages"]] == ["answered", "sent"]
        report = await alice.run("doctor")
        assert [(one["check"], one["good"]) for one in report["checks"]] == [
            ("member and directory", True),
            ("gateway", True),
            ("loop", True),
            ("echo", True),
        ]
        written = read_everything(tmp_path)
        for person in (alice, bob):
            address = decode_address(person.address_file.read_text())
            for secret in (address.token, address.token.hex().encode(), address.encode().encode()):
                assert secret not in written
        assert b"a long story" not in written
        assert set(network.stop().values()) == {0}


async def test_doctor_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    """No member; a mix down; the gateway down: one bad finding each, and exit code 1."""
    async with running(tmp_path) as network:
        alice = Person(tmp_path, "alice")
        nobody = await alice.run("doctor", check=False)
        assert "address --create" in nobody["checks"][0]["text"]
        await alice.create(network, "g1")
        network.daemons["m2"].kill()
        lost = await alice.run("doctor", "--patience", "1", check=False)
        assert [one["good"] for one in lost["checks"]] == [True, True, False]
        assert "m1-m2-m3" in lost["checks"][2]["text"]
        network.daemons["g1"].kill()
        away = await alice.run("doctor", check=False)
        assert [one["good"] for one in away["checks"]] == [True, False]
        assert "is it running?" in away["checks"][1]["text"]
        # A message waits in the outbox, with exit code 3, and goes out when the gateway is back.
        alice.letter.write_text("to myself")
        queued = await asyncio.to_thread(
            mixmint, "send", alice.address_file, "--file", alice.letter, "--home", alice.home, check=False
        )
        assert queued.returncode == 3
        assert "queued" in queued.stderr
        await network.start("g1", "m2")
        assert [one["text"] for one in await alice.inbox()] == ["to myself"]


async def test_requests_survive_kills_of_everything(tmp_path: Path) -> None:
    """Requests under way while mixes, gateways and the service are killed in turn: each gets its answer."""
    async with running(tmp_path) as network:
        alice = Person(tmp_path, "alice")
        await alice.create(network, "g1")
        member = open_member(alice.home)
        requests: dict[bytes, bytes] = {}

        async def ask_all(timeout_s: float) -> int:
            """One process's life: how many answers it got."""
            async with Post(member) as post:
                expires_s = int(time.time() + 300)
                asks = [
                    post.ask("echo", request_id, body, expires_s, timeout_s)
                    for request_id, body in requests.items()
                ]
                answers = await asyncio.gather(*asks, return_exceptions=True)
            for answer, body in zip(answers, requests.values(), strict=True):
                if isinstance(answer, bytes):
                    assert read_echo(answer, body) > 0
                else:
                    assert isinstance(answer, PendingError), answer
            return sum(isinstance(answer, bytes) for answer in answers)

        for name in ("m2", "g1", "echo", "m1", "g2"):
            requests.update((os.urandom(16), b"%s %d" % (name.encode(), number)) for number in range(5))
            asking = asyncio.create_task(ask_all(1.0))
            await asyncio.sleep(0.4)
            network.daemons[name].kill()
            await asking
            await network.start(name)
        assert await ask_all(60) == len(requests)
