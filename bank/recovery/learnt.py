"""What the pass over the log learns beside what it enters on the books. Pure."""

from collections import Counter
from dataclasses import dataclass, field, replace

from bank.board.reading.cursor import Cursor
from bank.formats.succession import BankKeys
from bank.ledger.book import Value
from bank.recovery.promises import Promised
from bank.recovery.reckoning import Shown


@dataclass
class Learnt:
    """What the rounds up to ``cursor`` say beside the books. ``accounts``: those of the newest page alone."""

    logged: BankKeys
    cursor: Cursor = field(default_factory=Cursor)
    changed_in: int = 0
    certified: Counter[Value] = field(default_factory=Counter)
    spent: Counter[Value] = field(default_factory=Counter)
    replaced: Counter[Value] = field(default_factory=Counter)
    accounts: set[bytes] = field(default_factory=set)
    promised: Promised = field(default_factory=Promised)
    shown: Shown = field(default_factory=Shown)
    stated: int = 0
    void: int = 0
    false: int = 0

    def copy(self) -> "Learnt":
        """To go on from; the accounts begin anew, since they can be many."""
        return replace(
            self,
            certified=self.certified.copy(),
            spent=self.spent.copy(),
            replaced=self.replaced.copy(),
            accounts=set(),
            shown=replace(self.shown),
        )
