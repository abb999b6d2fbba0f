"""
Chains of payments (definition 7), played twice: with one sequence of members of S, and with another.

The coin's value is used by nobody else, so a chain is what the paper calls the inputs with one label: whoever
gets the coin next gives it away next.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.properties.simon.network import Asked
from tests.properties.simon.party import DEPOSIT, WITHDRAW, How, Input
from tests.properties.simon.tapes import Tapes, secrets_from_tapes
from tests.properties.simon.views import Event
from tests.properties.simon.world import World, new_world

MEMBERS = ("ann", "bob", "cid", "dan")
"""S. All with accounts of the same credit."""
OUTSIDER = "eve"
CREDIT = 1 << 14
UNITS = 64
"""The chains' coin."""

Mood = Callable[[World], None]
"""What makes the bank a B': puts a program of its own in the bank's place."""


@dataclass(frozen=True)
class Chain:
    """
    ``first`` withdraws the coin (or gets it from the outsider), pays the first of ``between``, and so on to
    ``last``, who deposits it or pays the outsider. ``hows``: of each payment, the first one's first.
    """

    between: tuple[str, ...]
    hows: tuple[How, ...]
    first: str = "ann"
    last: str = "dan"
    from_outside: bool = False
    to_outside: bool = False
    units: int = UNITS

    def inputs(self) -> list[Input]:
        """The transaction inputs, one for each cycle."""
        begin = OUTSIDER if self.from_outside else self.first
        holders = [*([begin] if self.from_outside else []), self.first, *self.between, self.last]
        if self.to_outside:
            holders.append(OUTSIDER)
        paid = [
            Input(payer, payee, self.units, how)
            for payer, payee, how in zip(holders, holders[1:], self.hows, strict=False)
        ]
        end = [] if self.to_outside else [Input(self.last, DEPOSIT, self.units)]
        return [Input(begin, WITHDRAW, self.units), *paid, *end]


def swapped(inputs: Sequence[Input], names: Mapping[str, str]) -> list[Input]:
    """The same inputs with other members in the places of these."""
    return [
        Input(names.get(each.party, each.party), names.get(each.what, each.what), each.units, each.how)
        for each in inputs
    ]


def seen(
    inputs: Sequence[Input],
    tapes: Tapes | int,
    *,
    mood: Mood | None = None,
    after: int = 0,
    sealed: bool = False,
    order: Sequence[str] = MEMBERS,
) -> list[Event]:
    """
    The view of everybody outside S, byte by byte, with all randomness from the tapes. ``mood``: what happens
    to the bank after so many inputs.
    """
    rich: dict[str, Any] = dict.fromkeys((*order, OUTSIDER), CREDIT)
    with secrets_from_tapes(), new_world(tapes, **rich) as world:
        for number, given in enumerate(inputs):
            if mood is not None and number == after:
                mood(world)
            world.cycle(given)
        for party in world.parties.values():
            assert not party.refusals, (party.name, party.refusals)
        return world.view.outside(MEMBERS, sealed=sealed)


def deaf(most: int) -> Mood:
    """B' doesn't answer the next ``most`` messages; who is waiting must ask again."""

    def begin(world: World) -> None:
        heard: list[Asked] = []

        def answer(world: World, batch: Sequence[Asked]) -> None:
            heard.extend(batch)
            missed = max(0, most - (len(heard) - len(batch)))
            world.answer_all(batch[missed:])

        world.network.bank = partial(answer, world)

    return begin


def slow(ticks: int) -> Mood:
    """B' takes so many ticks for each answer."""

    def begin(world: World) -> None:
        waiting: list[tuple[int, Asked]] = []

        def answer(world: World, batch: Sequence[Asked]) -> None:
            now = world.network.tick
            waiting.extend((now + ticks, message) for message in batch)
            due = [message for at, message in waiting if at <= now]
            waiting[:] = [(at, message) for at, message in waiting if at > now]
            world.answer_all(due)

        world.network.bank = partial(answer, world)

    return begin
