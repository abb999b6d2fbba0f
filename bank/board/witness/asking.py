"""
One witness, asked by a log for its cosignature.

The witness isn't trusted: what it sends is bounded, and a cosignature counts only when its key verifies it.
Two answers say something of us: that it has seen more of our log than we have, or another past of it. Then
we were restored from an older copy, or somebody else signs with our key, and nothing may be signed on.
A witness that lies about that stops its board; the operator takes it out of the policy.

Source: docs/spec/witness.md, section 4.
"""

import re
from collections.abc import Awaitable, Callable, Sequence

import aiohttp

from bank.board.log.note import Note, Signature
from bank.board.log.policy import Witness
from bank.board.log.tree import MOST_SIZE
from bank.board.witness.core import encode_request
from mixmint.errors import FatalError, MalformedMessage, PeerError, Unavailable

MOST_ANSWER_BYTES = 1 << 14
"""Some lines of signatures. Whoever sends more isn't read further."""
AHEAD_S = 3600
"""A cosignature from further in the future than this is refused."""
_ATTEMPTS = 3
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n?")
_SIZE_TYPE = "text/x.tlog.size"

Proofs = Callable[[int, int], Awaitable[Sequence[bytes]]]
"""(old size, new size) -> the proof that our log of the new size begins with that of the old one."""


class Asked:
    """A witness of the policy that has a URL. ``size``: what it cosigned last, as far as we know."""

    def __init__(
        self,
        witness: Witness,
        origin: str,
        proofs: Proofs,
        session: aiohttp.ClientSession,
        timeout_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self.witness = witness
        self.size: int | None = None
        self.trouble = ""
        """Why it didn't cosign the last time; empty when it did."""
        self.hurried_until_s = 0.0
        """It was late: nobody waits for it, unless it is needed, until then (the event loop's clock)."""
        self._origin = origin
        self._proofs = proofs
        self._session = session
        self._url = (witness.url or "").rstrip("/") + "/add-checkpoint"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._now_s = now_s

    async def ask(self, note: Note, size: int) -> Signature:
        """
        Its cosignature of our checkpoint of ``size`` leaves, verified.

        Raises Unavailable (not reached, or not now), PeerError or MalformedMessage (it refuses, or breaks the
        rules), FatalError (it has seen what we don't have).
        """
        # Asked with our own size, a witness that knows this very checkpoint signs it again, and any other
        # says what it knows.
        old = size if self.size is None or self.size > size else self.size
        for _ in range(_ATTEMPTS):
            proof = await self._proofs(old, size) if 0 < old < size else ()
            status, media_type, body = await self._post(encode_request(old, proof, note))
            if status == 200:
                signature = self._open(note, body)
                self.size = size
                return signature
            self.size = None
            if status == 422 and old == size:
                raise self._fork(size)
            if status == 422:
                raise FatalError(
                    f"witness {self.witness.name} has seen {old} leaves of {self._origin}, and the {size} "
                    "here don't continue them: this board was restored from another past, or its tiles are "
                    "damaged"
                )
            if status != 409:
                raise _refusal(status)
            old = self._next_old(old, self._read_size(media_type, body, old, size), size)
        raise PeerError("answer", "it names another size each time")

    def _next_old(self, old: int, seen: int, size: int) -> int:
        """What to start from after "not from ``old``, I have ``seen``"."""
        if seen > size:
            raise FatalError(
                f"witness {self.witness.name} has seen {seen} leaves of {self._origin}, this board has "
                f"{size}: it was restored from an older copy, or another one signs with its key"
            )
        if seen == old == size:
            raise self._fork(size)
        if seen == old:
            raise PeerError("answer", "it refuses the size that it names")
        return seen

    def _read_size(self, media_type: str, body: bytes, old: int, size: int) -> int:
        """The size in a 409. Without one it is said of two roots, where there can be two."""
        found = _SIZE.fullmatch(body)
        if found is not None and int(found[1]) <= MOST_SIZE:
            return int(found[1])
        if media_type != _SIZE_TYPE and old == size:
            raise self._fork(size)
        raise MalformedMessage("answer")

    def _fork(self, size: int) -> FatalError:
        return FatalError(
            f"witness {self.witness.name} has seen {size} leaves of {self._origin} with another root: "
            "this board was restored from another past, or another one signs with its key"
        )

    def _open(self, note: Note, body: bytes) -> Signature:
        answered = Note.decode(f"{note.text}\n".encode() + body)
        if answered.text != note.text:
            raise MalformedMessage("answer")
        signature = answered.signed_by([self.witness.key]).get(self.witness.key)
        if signature is None:
            raise PeerError("cosignature", "none by its key")
        if signature.time_s > self._now_s() + AHEAD_S:
            raise PeerError("time", "its cosignature is from the future; compare the clocks")
        return signature

    async def _post(self, body: bytes) -> tuple[int, str, bytes]:
        """Status, media type, body."""
        try:
            async with self._session.post(
                self._url,
                data=body,
                timeout=self._timeout,
                allow_redirects=False,
                headers={"Content-Type": "text/plain; charset=utf-8", "Accept-Encoding": "identity"},
            ) as response:
                data = bytearray()
                async for part in response.content.iter_chunked(MOST_ANSWER_BYTES):
                    data += part
                    if len(data) > MOST_ANSWER_BYTES:
                        raise MalformedMessage("size")
                return response.status, response.content_type, bytes(data)
        except TimeoutError:
            raise Unavailable("no answer in time") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: a URL in the policy that is none.
            raise Unavailable(f"not reached ({type(error).__name__})") from None


def _refusal(status: int) -> PeerError | Unavailable:
    if status >= 500 or status == 429:
        return Unavailable(f"it answers {status}")
    why = {
        400: "it doesn't understand the request",
        403: "it knows another key of this log",
        404: "it doesn't watch this log; ask its operator",
    }
    return PeerError("refused", why.get(status, f"it answers {status}"))
