"""A log that gathers cosignatures, from true witnesses and from servers that answer what a test wants."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from bank.board.log.note import KeyKind, Note, VerifierKey, cosign_text
from bank.board.log.policy import Policy, parse_policy
from bank.board.witness.collector import Collector
from bank.board.witness.core import Request
from mixmint.keys import SigningKey
from tests.unit.bank.board.witness.daemons import Running, running_witness
from tests.unit.bank.board.witness.histories import NOW_S, ORIGIN, TRUE, History

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
