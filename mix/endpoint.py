"""
The client side of a gateway: what a member's wallet and a service use to send and to fetch packets.

For packets an endpoint talks to nothing else. Connections are TLS to the one certificate that the directory
carries for the gateway; requests are signed by the owner's key.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from random import Random, SystemRandom
from types import TracebackType

import aiohttp

from mix import messages
from mix.directory import Node
from mix.links.tls import pinned_context
from mix.messages import FetchAnswer, FetchBody, RegisterBody, Registration
from mix.packet.geometry import Addressed, Packet, Token
from mixmint.errors import MalformedMessage, Unavailable, UserError
from mixmint.keys import Label, SigningKey
from mixmint.wire import decode, encode

PATIENCE_S = 5.0
"""How long a request is tried again before the caller hears of it."""
FIRST_PAUSE_S = 0.1
ANSWER_S = 15.0

_log = logging.getLogger("mix.endpoint")


@dataclass(frozen=True)
class MailboxItem:
    """A packet fetched: ``number`` acknowledges it, ``token`` is where it was sent."""

    number: int
    token: Token = field(repr=False)
    packet: Packet = field(repr=False)


class GatewayClient:
    """
    One owner's business with one gateway; an async context manager.

    All methods raise Unavailable when the gateway can't be reached or stays busy for ``patience_s``, and
    UserError when it refuses. May be used by several tasks at once; one fetch waits at a time.
    """

    def __init__(
        self, gateway: Node, owner: SigningKey, *, patience_s: float = PATIENCE_S, rng: Random | None = None
    ) -> None:
        self._gateway = gateway
        self._owner = owner
        self._patience_s = patience_s
        self._rng = rng or SystemRandom()
        host = f"[{gateway.host}]" if ":" in gateway.host else gateway.host
        self._url = f"https://{host}:{gateway.client_port}"
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "GatewayClient":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=pinned_context(self._gateway), limit=8),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
            # A cookie would link an endpoint's connections; a packed answer could unpack to any size.
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def register(self, tokens: Sequence[Token]) -> None:
        """Own these tokens (16 bytes each) at the gateway. Again does no harm, and keeps them alive."""
        for start in range(0, len(tokens), messages.MOST_TOKENS):
            registrations = []
            for token in tokens[start : start + messages.MOST_TOKENS]:
                reminder = messages.mask_token(self._owner, messages.hash_token(token), token)
                registrations.append(Registration(token, reminder))
            await self._ask("/v1/register", encode(RegisterBody(tuple(registrations))))

    async def submit(self, packets: Sequence[Addressed]) -> None:
        """
        Send addressed packets (2,286 bytes each); returns when the gateway has them on disk.

        After an error some may have been accepted. To submit the same packets again does no harm: the first
        mix lets each through once.
        """
        for start in range(0, len(packets), messages.MOST_PACKETS):
            await self._ask("/v1/submit", b"".join(packets[start : start + messages.MOST_PACKETS]))

    async def fetch(self, wait_s: float, acknowledge: Sequence[int] = ()) -> list[MailboxItem]:
        """
        Delete what is acknowledged, then return what waits; if nothing does, wait ``wait_s``, at most 60.

        Items come again at each fetch until they are acknowledged.
        """
        while len(acknowledge) > messages.MOST_ACKNOWLEDGED:
            await self._fetch(0, acknowledge[: messages.MOST_ACKNOWLEDGED])
            acknowledge = acknowledge[messages.MOST_ACKNOWLEDGED :]
        answer = await self._fetch(wait_s, acknowledge)
        if answer.turned_away:
            _log.warning(
                "the mailbox at gateway %s was full: %d packets were turned away; fetch more often",
                self._gateway.name,
                answer.turned_away,
            )
        try:
            return [
                MailboxItem(item.number, messages.unmask_token(self._owner, item), Packet(item.packet))
                for item in answer.items
            ]
        except MalformedMessage as error:
            raise _nonsense(error) from None

    async def _fetch(self, wait_s: float, acknowledge: Sequence[int]) -> FetchAnswer:
        wait_ms = min(int(wait_s * 1000), messages.MOST_WAIT_MS)
        answer = await self._ask("/v1/fetch", encode(FetchBody(wait_ms, tuple(acknowledge))), wait_s)
        return _decode(answer, FetchAnswer)

    async def _ask(self, path: str, body: bytes, wait_s: float = 0.0) -> bytes:
        """One request, tried again with growing, jittered pauses while the gateway is away or busy."""
        give_up = time.monotonic() + self._patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return await self._ask_once(path, body, wait_s)
            except Unavailable:
                if time.monotonic() + pause_s > give_up:
                    raise
            # Jittered, so that the clients of a gateway that comes back don't all come at once.
            await asyncio.sleep(pause_s * self._rng.uniform(0.5, 1.5))
            pause_s *= 2

    async def _ask_once(self, path: str, body: bytes, wait_s: float) -> bytes:
        if self._session is None:
            raise RuntimeError("GatewayClient is used outside of its context")
        name, where = self._gateway.name, f"{self._gateway.host}:{self._gateway.client_port}"
        label = Label(messages.PATHS[path])
        data = messages.sign_request(label, self._owner, self._gateway.identity, time.time(), body)
        timeout = aiohttp.ClientTimeout(total=wait_s + ANSWER_S)
        try:
            async with self._session.post(
                self._url + path, data=data, timeout=timeout, allow_redirects=False
            ) as response:
                answer = await _read_bounded(response.content)
                status, date = response.status, response.headers.get("Date", "")
        except aiohttp.ClientConnectorCertificateError:
            raise UserError(
                f"whoever answers at {where} isn't gateway {name}: its certificate isn't the directory's; "
                "get the newest directory file"
            ) from None
        except TimeoutError:
            raise Unavailable(f"the gateway {name} at {where} doesn't answer; try again later") from None
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(
                f"the gateway {name} at {where} can't be reached: {_why(error)}; is it running?"
            ) from None
        if status == 200:
            return answer
        if status == 503:
            raise Unavailable(f"the gateway {name} is busy; try again later")
        if status == 507:
            raise UserError(f"the gateway {name} has no room for more tokens; use fewer, or another gateway")
        raise UserError(explain_refusal(name, date, time.time()))


def explain_refusal(name: str, date: str, now_s: float) -> str:
    """What to tell after a 400. It says nothing, but its Date header shows a clock that is wrong."""
    try:
        ahead_s = now_s - parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        ahead_s = 0.0
    if abs(ahead_s) > messages.SKEW_S:
        way = "ahead of" if ahead_s > 0 else "behind"
        # In tens, so that the next try says the same: whoever tries again says it once.
        about_s = round(abs(ahead_s), -1)
        return f"this machine's clock is {about_s:.0f} s {way} gateway {name}'s; set it and try again"
    return f"the gateway {name} refuses the request; is the directory file the newest?"


async def _read_bounded(content: aiohttp.StreamReader) -> bytes:
    """An answer's body; what is over the longest good one is not read, and doesn't decode."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > messages.MOST_ANSWER_BYTES:
            break
    return bytes(body)


def _why(error: Exception) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return (cause.strerror if isinstance(cause, OSError) else None) or "the connection broke"


def _decode(data: bytes, kind: type[FetchAnswer]) -> FetchAnswer:
    try:
        return decode(data, kind, messages.MOST_ANSWER_BYTES)
    except MalformedMessage as error:
        raise _nonsense(error) from None


def _nonsense(error: MalformedMessage) -> UserError:
    return UserError(f"the gateway's answer makes no sense ({error}); is its version the same?")
