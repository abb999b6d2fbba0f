"""
Views (definition 2): what the parties outside a set S see of a run, all of them together.

That is: every input and output of theirs, the bank's among them, with the tick at which it happened; what
everybody else receives, without a name on it; and the public output.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

BANK = "B"
PUBLIC = "public"


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """``whose`` output or input it is: a party, the bank, or the public."""

    tick: int
    whose: str
    kind: str
    data: bytes


class View:
    """All events of a run, as they happen."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def note(self, tick: int, whose: str, kind: str, *data: bytes | int | str) -> None:
        parts = [part if isinstance(part, bytes) else str(part).encode() for part in data]
        self.events.append(Event(tick, whose, kind, b" ".join(parts)))

    def outside(self, inside: Collection[str], *, sealed: bool = False) -> list[Event]:
        """
        What everybody outside of S = ``inside`` sees, in order. Of S only what its members receive is seen,
        unlabelled: within a tick it comes in the order of its bytes, so the order says nothing.

        ``sealed``: what members of S send each other is encrypted, as it is here and not in the paper's
        model; of such a message only the length is seen.
        """
        seen: list[Event] = []
        unlabelled: list[Event] = []
        for event in self.events:
            if unlabelled and event.tick != unlabelled[0].tick:
                seen += sorted(unlabelled)
                unlabelled = []
            if event.whose not in inside:
                seen.append(event)
            elif event.kind == "receives":
                data = str(len(event.data)).encode() if sealed else event.data
                unlabelled.append(Event(event.tick, "somebody", event.kind, data))
        return seen + sorted(unlabelled)


def first_difference(one: Iterable[Event], other: Iterable[Event]) -> str:
    """In words; empty when there is none."""
    left, right = list(one), list(other)
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return f"event {index}: {_short(a)} or {_short(b)}"
    if len(left) != len(right):
        return f"{len(left)} events or {len(right)}"
    return ""


def _short(event: Event) -> str:
    return f"{event.tick} {event.whose} {event.kind} ({len(event.data)} bytes, {event.data[:40].hex()})"
