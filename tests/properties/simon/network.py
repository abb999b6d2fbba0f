"""
The anonymous network of definition 1, an exchange protocol: messages arrive a tick later, unaltered, without
a sender's name, in an order that says nothing; and they can be answered.

What the mixes add to this (delays, cover, packets) is not modelled: the definitions begin where it ends.
"""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import sha256

from mixmint.errors import PendingError
from tests.properties.simon.views import BANK, View


class Asked:
    """A message that can be answered: what arrives, and the way back."""

    def __init__(self, to: str, data: bytes, conversation: bytes = b"", sender: str = "") -> None:
        """``sender``: who will see the answer; nobody else is told."""
        self.to = to
        self.sender = sender
        self.data = data
        self.conversation = conversation
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    @property
    def place(self) -> bytes:
        """Where it comes among those of its tick: by its content, which whoever sent it didn't choose."""
        return sha256(self.conversation + self.data).digest()


class Network:
    """``beat`` is called once a tick; ``bank`` gets the bank's messages of a tick, ``parties`` the others."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.tick = 0
        self.bank: Callable[[Sequence[Asked]], None] = lambda _: None
        self.parties: dict[str, Callable[[Asked], None]] = {}
        self._sent: list[Asked] = []
        self._answers: list[tuple[Asked, bytes]] = []

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way."""
        return not self._sent and not self._answers

    def send(self, to: str, data: bytes, conversation: bytes = b"", sender: str = "") -> Asked:
        """It arrives with the next tick."""
        message = Asked(to, data, conversation, sender)
        self._sent.append(message)
        return message

    def reply(self, message: Asked, data: bytes) -> None:
        """It arrives with the next tick, once."""
        self._answers.append((message, data))

    def beat(self) -> None:
        """A tick: everything that was sent in the last one arrives."""
        self.tick += 1
        answers, self._answers = self._answers, []
        sent, self._sent = sorted(self._sent, key=lambda message: message.place), []
        for message, data in answers:
            if not message.answer.done():
                if message.to != BANK:
                    self.view.note(self.tick, message.sender, "receives", data)
                message.answer.set_result(data)
        for message in sent:
            self.view.note(self.tick, message.to, "receives", message.conversation, message.data)
        self.bank([message for message in sent if message.to == BANK])
        for message in sent:
            if message.to != BANK:
                self.parties[message.to](message)


class Wire:
    """A wallet's line to the bank (wallet/lines.py, ``BankLine``). Asked again, it sends again."""

    lifetime_s = 3600.0

    def __init__(self, network: Network) -> None:
        self._network = network
        self._asked: dict[bytes, list[Asked]] = {}

    async def reach(self) -> None:
        """Always there."""

    async def ask(self, conversation: bytes, body: bytes, expires_s: int, timeout_s: float) -> bytes:
        asked = self._asked.setdefault(conversation, [])
        if not any(message.answer.done() for message in asked):
            asked.append(self._network.send(BANK, body, conversation))
            answers = [message.answer for message in asked]
            await asyncio.wait(answers, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        for message in asked:
            if message.answer.done():
                return message.answer.result()
        raise PendingError("no answer came")

    def forget(self, conversation: bytes) -> None:
        self._asked.pop(conversation, None)
