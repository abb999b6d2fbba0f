"""The member's side of conversations: ask a service, and get its answer, whatever happens in between."""

from types import TracebackType

from replyblocks.link import Link
from replyblocks.member import Member


class Post:
    """
    A member's post: requests to services and messages, over one gateway.

        async with Post(open_member(home)) as post:
            answer = await post.ask("bank", request_id, body, expires_s, timeout_s=60)

    Entering takes the home folder's lock (UserError when another command holds it for some seconds) and opens
    ``post.db``; it doesn't touch the network. Several tasks may ask at once.
    """

    def __init__(self, member: Member, link: Link | None = None) -> None:
        """``link`` replaces the gateway's client in tests."""
        raise NotImplementedError

    async def __aenter__(self) -> "Post":
        raise NotImplementedError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    @property
    def lifetime_s(self) -> float:
        """How long a request should live to get all its resends and their answers, from the pools' tail."""
        raise NotImplementedError

    async def reach(self) -> None:
        """
        Make sure that the gateway answers, and that our mailboxes are open there.

        Call it before a new operation is written to disk. Raises Unavailable: nothing has happened.
        """
        raise NotImplementedError

    async def ask(
        self, service: str, request_id: bytes, body: bytes, expires_s: int, timeout_s: float
    ) -> bytes:
        """
        The service's answer (at most ANSWER_BODY_BYTES bytes) to a request (at most REQUEST_BODY_BYTES).

        Idempotent by ``request_id`` (16 random bytes): asked again, in this process or a later one, it goes on
        where it was, or returns the stored answer. Everything is on disk before the first byte leaves.
        ``expires_s`` (Unix seconds, at most 7 days ahead) is when the service drops it; asked again after that
        time without an answer, with a later ``expires_s``, it is sent anew under the same id.

        Raises PendingError when ``timeout_s`` is over and the outcome isn't known; UserError when this id was
        used with another body or service; PeerError(``refused``) when the service says so.
        """
        raise NotImplementedError

    def forget(self, request_id: bytes) -> None:
        """Delete a request and its answer, after the caller has stored what the answer means. Idempotent."""
        raise NotImplementedError

    async def poll(self, wait_s: float) -> None:
        """
        Fetch what waits (for at most ``wait_s`` if nothing does), and put it where it belongs.

        Raises Unavailable.
        """
        raise NotImplementedError
