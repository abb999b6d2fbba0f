"""An authority as the others, and the nodes, reach it."""

import aiohttp

from mix.directory.agreement.messages import MOST_ENVELOPE_BYTES
from mix.directory.fetching import HttpSource
from mixmint.errors import Unavailable

TIMEOUT_S = 10.0


class HttpPeer(HttpSource):
    """Another authority at a URL."""

    async def ask(self, envelope: bytes) -> bytes:
        """See `Peer`."""
        status, answer = await self._post("/v1/agreement", envelope)
        if status != 200:
            raise Unavailable(f"{self.name} answers {status}")
        return answer

    async def give(self, signed: bytes) -> None:
        """See `Peer`."""
        await self._post("/v1/directory", signed)

    async def hand_in(self, descriptor: bytes) -> int:
        """Hand in our descriptor; the status (port.py). Raises Unavailable."""
        status, _ = await self._post("/v1/descriptor", descriptor)
        return status

    async def _post(self, path: str, body: bytes) -> tuple[int, bytes]:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session.post(
                self._url + path, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                answer = bytearray()
                async for chunk in response.content.iter_any():
                    answer += chunk
                    if len(answer) > MOST_ENVELOPE_BYTES:
                        raise Unavailable(f"{self.name} answers too much")
                return response.status, bytes(answer)
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise Unavailable(f"{self.name} can't be reached") from None
