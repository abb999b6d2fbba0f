"""One measured figure, and the yardsticks that ratios are taken against."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from nacl import bindings


@dataclass(frozen=True)
class Figure:
    """
    A figure and its goal.

    ``better`` says which side of the goal is the good one; a figure without a goal is for information.
    """

    name: str
    value: float
    unit: str
    method: str
    goal: float | None = None
    better: Literal["lower", "higher"] = "higher"

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.value <= self.goal if self.better == "lower" else self.value >= self.goal

    def plain(self) -> dict[str, object]:
        """As it stands in results.json."""
        return {
            "name": self.name,
            "value": float(f"{self.value:.6g}"),
            "unit": self.unit,
            "goal": self.goal,
            "met": self.met,
        }


def microseconds(operation: Callable[[], object], count: int = 2000, repeats: int = 7) -> float:
    """The median over ``repeats`` runs of one operation's mean time, in microseconds."""
    runs = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(count):
            operation()
        runs.append((time.perf_counter() - start) / count * 1e6)
    return statistics.median(runs)


def two_scalar_multiplications_us() -> float:
    """The least that a mix hop can cost: two X25519 scalar multiplications."""
    secret = os.urandom(32)
    public = bindings.crypto_scalarmult_base(os.urandom(32))
    return 2 * microseconds(lambda: bindings.crypto_scalarmult(secret, public))


def order_limit_us(coins: int) -> float:
    """
    The least that an order of so many coins to as many can cost: an Ed25519 verification for each input, a
    signature for each output, and one for the answer.
    """
    public, secret = bindings.crypto_sign_keypair()
    message = os.urandom(120)
    signed = bindings.crypto_sign(message, secret)
    verify = microseconds(lambda: bindings.crypto_sign_open(signed, public))
    return coins * verify + (coins + 1) * microseconds(lambda: bindings.crypto_sign(message, secret))
