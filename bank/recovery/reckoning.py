"""
How much was withdrawn after the accounts were listed: read off the board, to the unit. Pure.

Who withdrew since has the coins, which count if they are certified below the cut, and in the list the balance
that they were paid from: somebody pays for them twice. The board doesn't show whose account it was. But
orders take in what they give out, so what was certified less what was spent is what was withdrawn less what
was deposited; and the list says how much that was in the books that it was made from. The bank's own
statements tell the two apart, as far as they go.

Source: docs/spec/succession.md, section 4.
"""

from dataclasses import dataclass

from bank.formats.statement import Tally


@dataclass
class Shown:
    """
    What the log shows, in units, up to where the key that made the list counted: ``certified`` and ``spent``;
    ``arrived`` and ``given``, of these what was on its way when the list was made; ``replaced``. ``stated``:
    the newest totals that this key published there.
    """

    certified: int = 0
    spent: int = 0
    arrived: int = 0
    given: int = 0
    replaced: int = 0
    stated: Tally | None = None


@dataclass(frozen=True, slots=True)
class Since:
    """What happened after the list, in units: withdrawn at least, and replaced."""

    withdrawn: int
    replaced: int


def since(listed: Tally, on_its_way: int, given: int, shown: Shown) -> Since:
    """
    ``listed``: the totals of the books when the list was made; of the coins that they count, ``on_its_way``
    units of withdrawals and ``given`` units of deposits were not yet known to be on the board.
    """
    before = listed.certified - listed.spent
    lost = (on_its_way - shown.arrived) - (given - shown.given)
    withdrawn = shown.certified - shown.spent - before + lost
    if shown.stated is not None:
        # Deposits since hide as many units of withdrawals, but for what was stated.
        withdrawn = max(withdrawn, shown.stated.withdrawn - listed.withdrawn)
    return Since(max(withdrawn, 0), max(shown.replaced - listed.replaced, 0))
