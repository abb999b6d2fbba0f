"""
A node's turns: keys made, listed and erased, the descriptor signed; and the descriptor handed in.

Source: docs/spec/directory.md, section 4.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random, SystemRandom
from typing import Protocol

from mix.directory import Directory
from mix.epochs.descriptor import OwnDescriptor
from mix.epochs.keyring import Keyring
from mix.epochs.plan import Plan, is_clock_credible, plan
from mix.epochs.renewal import Renewal
from mixmint.errors import Unavailable

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
PAUSES_PER_EPOCH = 20
_NOT_ADMITTED = 403
_TAKEN = (200, 204)

_log = logging.getLogger("mix.epochs")


class Taker(Protocol):
    """Where a descriptor is handed in: an authority."""

    @property
    def name(self) -> str:
        """For the log."""

    async def hand_in(self, descriptor: bytes) -> int:
        """The HTTP status (mix/directory/authority/port.py). Raises Unavailable."""


class Rotation:
    """
    ``clock_ahead_s()``: by how much the clock differs from the directory's sources.

    `turn` only while the node's intake is at rest. `hand_in` is a loop of the daemon.
    """

    def __init__(
        self,
        keyring: Keyring,
        descriptor: OwnDescriptor,
        renewal: Renewal,
        takers: Sequence[Taker],
        now_s: Callable[[], float] = time.time,
        clock_ahead_s: Callable[[], float] = lambda: 0.0,
        rng: Random | None = None,
    ) -> None:
        self._keyring = keyring
        self._descriptor = descriptor
        self._renewal = renewal
        self._takers = list(takers)
        self._now_s = now_s
        self._clock_ahead_s = clock_ahead_s
        self._rng = rng or SystemRandom()
        self._directory: Directory | None = None
        self._woken = asyncio.Event()
        self._said = ""
        self._warned = False

    @property
    def is_listed(self) -> bool:
        """Whether the newest directory says of us what our descriptor says."""
        ours = self._descriptor.node
        return self._directory is not None and ours in self._directory.nodes

    def hear(self, directory: Directory) -> None:
        """A newer directory."""
        self._directory = directory
        self._woken.set()

    def is_due(self) -> bool:
        """Whether `turn` has something to do."""
        if not self._trusts_clock():
            return False
        wanted = self._plan()
        return bool(wanted.make or wanted.erase) or wanted.listed != self._listed()

    def turn(self) -> None:
        """
        Make, erase and list what is due.

        Raises UserError when something can't be written: what was done stays, the next turn does the rest.
        """
        if not self._trusts_clock():
            return
        keyring, now_s, epoch_s = self._keyring, self._now_s(), self._epoch_s()
        keyring.tidy()
        wanted = self._plan()
        for epoch in wanted.make:
            keyring.make(epoch)
        for epoch in wanted.erase:
            keyring.erase(epoch)
        if self._directory is not None:
            is_announced = any(self._renewal.next in node.certificates for node in self._directory.nodes)
            self._renewal.turn(now_s, self._directory.epoch, is_announced)
        certificates = self._renewal.current, self._renewal.next
        keys = [keyring.listed(epoch, epoch_s) for epoch in wanted.listed]
        if not self._descriptor.lists(keys, certificates):
            # Last: what it lists is there, on disk, with its filter.
            self._descriptor.write(keys, certificates, now_s)
            self._woken.set()
        _log.info(
            "keys of epochs %s; erased: %s",
            _text(wanted.listed),
            _text(wanted.erase) if wanted.erase else "none",
        )

    async def hand_in(self) -> None:
        """Hand the descriptor in until the directory says the same, for ever."""
        pause_s = FIRST_PAUSE_S
        while True:
            if not self.is_listed and self._takers:
                await self._hand_to_all()
                longest_s = min(LONGEST_PAUSE_S, self._epoch_s() / PAUSES_PER_EPOCH)
                pause_s = min(2 * pause_s, longest_s) * self._rng.uniform(0.5, 1.5)
            else:
                pause_s = FIRST_PAUSE_S
                await self._woken.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()
            self._woken.clear()

    async def _hand_to_all(self) -> None:
        signed = self._descriptor.signed
        outcomes = await asyncio.gather(*(self._hand_to(taker, signed) for taker in self._takers))
        taken, refused = (sum(one in statuses for one in outcomes) for statuses in (_TAKEN, (_NOT_ADMITTED,)))
        if taken:
            self._say(f"our descriptor is handed in to {taken} of {len(outcomes)} of the network's sources")
        elif refused:
            self._say(
                f"the authorities haven't admitted us yet: give them {self._descriptor.path}"
                f" (identity {self._descriptor.node.identity.hex()})"
            )
        else:
            self._say("nobody takes our descriptor; it is offered again and again")

    async def _hand_to(self, taker: Taker, signed: bytes) -> int:
        try:
            return await taker.hand_in(signed)
        except Unavailable:
            return 0

    def _say(self, text: str) -> None:
        if text != self._said:
            _log.info("%s", text)
            self._said = text

    def _plan(self) -> Plan:
        directory_epoch = None if self._directory is None else self._directory.epoch
        return plan(self._now_s(), self._epoch_s(), self._keyring.epochs, directory_epoch)

    def _epoch_s(self) -> int:
        if self._directory is not None:
            return self._directory.epoch_s
        key = self._descriptor.node.sphinx_keys[0]
        return key.not_after_s - key.not_before_s

    def _listed(self) -> tuple[int, ...]:
        return tuple(key.epoch for key in self._descriptor.node.sphinx_keys)

    def _trusts_clock(self) -> bool:
        good = is_clock_credible(self._clock_ahead_s(), self._epoch_s())
        if not good and not self._warned:
            _log.error("this machine's clock is wrong; no keys are made or erased until it is set")
        self._warned = not good
        return good


def _text(epochs: Sequence[int]) -> str:
    return ", ".join(map(str, epochs))
