"""
The echo service: answers with its clock and the request's body. For `mixmint doctor`, and as the smallest
example of a service behind the mixes.

    echo.toml       settings
    identity.key    signs the descriptor
    endpoint.key    opens packets for the service
    echo.db         stored answers: the clock must not tick between two answers to one request
    descriptor      public: hand it to the directory's authorities
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from aiohttp import web
from msgspec import Meta
from prometheus_client import CollectorRegistry

from mix.directory import Directory
from mix.directory.newest import followed, newest_directory
from mix.endpoint import GatewayClient
from mixmint.database import Writer
from mixmint.errors import MalformedMessage, UserError
from mixmint.keys import SEED_BYTES, BoxKey, SigningKey, read_secret
from mixmint.settings import Settings, describe, load
from mixmint.web import Listener, operations_app, run, serve
from replyblocks.init import create_service, mailbox_owner
from replyblocks.long.box import LONG_SCHEMA
from replyblocks.long.hosting import LongHost
from replyblocks.remembering import Remembering, open_answers
from replyblocks.service import Request, ServiceHost

CLOCK_BYTES = 8


class EchoSettings(Settings, frozen=True):
    """``echo.toml``."""

    name: Annotated[str, Meta(description="the service's name in the directory")]
    network: Annotated[Path, Meta(description="the network file: which directory to believe")]
    operations_port: Annotated[int, Meta(ge=0, le=65535, description="port of /healthz and /metrics")]
    operations_host: Annotated[str, Meta(description="address of /healthz and /metrics")] = "127.0.0.1"
    endpoint_key_path: Annotated[Path, Meta(description="the key that opens packets for the service")] = Path(
        "endpoint.key"
    )
    database_path: Annotated[Path, Meta(description="stored answers; losing it costs nothing lasting")] = (
        Path("echo.db")
    )


def create_echo(folder: Path, name: str, gateway: str, operations_port: int, network: str) -> Path:
    """
    Make an echo service's folder; returns the path of its descriptor.

    Raises UserError if the folder exists and isn't empty: no key is ever overwritten.
    """
    settings: dict[str, str | int] = {"name": name, "network": network, "operations_port": operations_port}

    def make_answers(_: SigningKey) -> None:
        open_answers(folder / "echo.db", (LONG_SCHEMA,)).close()

    descriptor, _ = create_service(folder, "echo", gateway, settings, stores=make_answers)
    return descriptor


def echo(_: sqlite3.Connection, request: Request) -> bytes:
    """Unix seconds (8 bytes, big-endian), then as much of the body as fits."""
    return int(time.time()).to_bytes(CLOCK_BYTES) + request.body[: request.most_answer_bytes - CLOCK_BYTES]


def read_echo(answer: bytes, body: bytes) -> int:
    """The service's clock, Unix seconds. Raises MalformedMessage when the answer is no echo of ``body``."""
    if len(answer) < CLOCK_BYTES or answer[CLOCK_BYTES:] != body:
        raise MalformedMessage("echo")
    return int.from_bytes(answer[:CLOCK_BYTES])


def check_echo(config: Path) -> str:
    """What ``--check`` prints; it opens everything but talks to nobody."""
    settings = load(config, EchoSettings)
    directory, endpoint = _read_parts(settings)
    service = directory.service(settings.name)
    if service.endpoint_public != endpoint.public:
        raise UserError(f"the directory lists another key for {settings.name}; hand in this descriptor")
    return f"{describe(settings)}\nbehind gateway {service.gateway}\nok"


def run_echo(config: Path) -> None:
    """Run until SIGTERM. Raises UserError before it starts."""
    settings = load(config, EchoSettings)
    directory, endpoint = _read_parts(settings)
    registry = CollectorRegistry()

    async def main() -> None:
        app = operations_app(registry, dict)

        async def hosting(_: web.Application) -> AsyncIterator[None]:
            writer = Writer(open_answers(settings.database_path, (LONG_SCHEMA,)))
            gateway = directory.gateway(directory.service(settings.name).gateway)
            owner = mailbox_owner(endpoint)
            handler = Remembering(writer, echo)
            async with GatewayClient(gateway, owner) as link:
                host = ServiceHost(
                    directory,
                    settings.name,
                    link,
                    endpoint,
                    handler,
                    long=LongHost(writer),
                    registry=registry,
                )
                async with followed(settings.network, kept_path(settings), host.follow):
                    task = asyncio.create_task(host.run())
                    yield
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
            await writer.close()

        app.cleanup_ctx.append(hosting)
        await serve([Listener(app, settings.operations_host, settings.operations_port)], name="echo")

    run(main)


def kept_path(settings: EchoSettings) -> Path:
    """Where the directory is kept that this service believes."""
    return settings.endpoint_key_path.with_name("directory")


def _read_parts(settings: EchoSettings) -> tuple[Directory, BoxKey]:
    if not settings.database_path.exists():
        raise UserError(f"{settings.database_path} is missing; make the service with: mixmint echo init")
    return (
        newest_directory(settings.network, kept_path(settings), time.time()),
        BoxKey(read_secret(settings.endpoint_key_path, SEED_BYTES)),
    )
