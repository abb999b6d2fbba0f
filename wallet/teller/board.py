"""
The board's side of a teller: reads its rounds, and posts what the bank left undone there.
"""

import asyncio
from collections.abc import Callable

from bank.board.reading.conviction import accusation_of
from bank.board.reading.fork import ForkedLog
from bank.formats.entry import PostedEntry
from mixmint.errors import PeerError, UserError
from wallet.books import Books, Outward
from wallet.claims import OpenClaims
from wallet.lines import Board, Claims
from wallet.settings import WalletSettings

MOST_ROUNDS_A_PAGE = 1000


def nothing(_: str) -> None:
    """What is done by default when something is told, or a named step is reached."""


class BoardSide:
    """
    Reads the board into the books. ``claims``: where certificates go that the bank forgot to publish, and
    claims; ``tell`` gets a line for the member at each event, ``warn`` what he must know, whoever reads it
    first; ``at`` is called at each named step.
    """

    def __init__(
        self,
        books: Books,
        board: Board,
        settings: WalletSettings,
        claims: Claims | None,
        tell: Callable[[str], None],
        warn: Callable[[str], None],
        at: Callable[[str], None],
    ) -> None:
        self.books = books
        self.purse = books.purse
        self._board = board
        self._tell = tell
        self._warn = warn
        self.at = at
        self._claims = claims
        self._tried: set[bytes] = set()
        """Coins (ids) whose certificates this process has tried to post; the next one tries again."""
        self.claims = OpenClaims(books, settings.claim_after_rounds)
        self._claims_by_itself = settings.claims
        self._claimed: set[bytes] = set()
        """Claims that this process has tried to post."""
        self._told: set[int] = set()
        """Operations of which it was said that the bank owes an answer on the board."""
        self._reading = asyncio.Lock()

    def _hand_out(self, row: int, outward: Outward) -> None:
        """What a round of the board gives an operation to do outside."""
        raise NotImplementedError

    async def sync(self) -> int:
        """
        Read the board up to its newest round; that round's number.

        Raises Unavailable (also while too few witnesses have cosigned); UserError when the board breaks its
        own rules (nothing of it is believed then; of a fork, the proof is kept).
        """
        async with self._reading:
            try:
                cursor = self.books.cursor()
                if cursor is None:
                    # A new purse has no past on the board: it begins where the board is now.
                    cursor = await self._board.head()
                    self.books.begin(cursor, await self._board.bank_entries())
                while True:
                    rounds = await self._board.rounds(cursor, MOST_ROUNDS_A_PAGE)
                    if not rounds:
                        return cursor.round
                    cuts = {
                        change.cut.size: await self._board.round_ending(change.cut)
                        for round_ in rounds
                        for change in self.books.changes_in(round_)
                    }
                    changed = self.books.read(rounds, cuts)
                    self._tell_of_copies()
                    self.at("board-booked")
                    cursor = rounds[-1].after
                    for row, outward in changed.items():
                        self._hand_out(row, outward)
            except ForkedLog as error:
                path = self.books.keep("board-equivocation", accusation_of(error))
                raise UserError(
                    f"the board contradicts itself: {error.detail}. Nothing more of it is believed. {path} "
                    "proves it to anyone: mixmint board check-accusation FILE"
                ) from None
            except PeerError as error:
                raise UserError(
                    f"the board broke its own rules ({error}); nothing of it is believed. Tell its operator"
                ) from None

    async def post_forgotten(self) -> None:
        """
        Put certificates on the board that the bank promised and didn't publish. Each is tried once by each
        process; whether it worked, the board shows.
        """
        if self._claims is None:
            return
        for row, entry in self.books.forgotten().items():
            if await self._post_certificate(self._claims, entry):
                self.books.note_posted(row)
        for row, entries in self.books.withheld().items():
            if all([await self._post_certificate(self._claims, entry) for entry in entries]):
                self.books.note_paid(row)

    async def _post_certificate(self, claims: Claims, entry: PostedEntry) -> bool:
        """Whether the board has taken it now."""
        if entry.coin in self._tried:
            return False
        self._tried.add(entry.coin)
        self._warn("the bank hasn't published a certificate that it promised; putting it on the board")
        try:
            await claims.post(entry.encode())
        except (UserError, PeerError) as error:
            self._warn(f"the board hasn't taken it ({error}); the next command tries again")
            return False
        return True

    def _tell_of_copies(self) -> None:
        for line in (*self.books.copies.news(), *self.books.news()):
            self._warn(line)

    async def post_claims(self) -> None:
        """
        Put on the board what the bank has left unanswered for too long, and what an earlier process meant to
        put there. Each is tried once by each process.
        """
        if self._claims is None:
            return
        for row in self.claims.due() if self._claims_by_itself else ():
            self.make_claim(row)
        for row, entry in self.claims.unposted().items():
            if entry in self._claimed:
                continue
            self._claimed.add(entry)
            try:
                await self._claims.post(entry)
            except (UserError, PeerError) as error:
                self._warn(f"the board hasn't taken the claim ({error}); the next command tries again")
                continue
            self.claims.note_posted(row)
            self.at("claim-posted")
            self._warn(f"the board has the claim of operation {row}; the bank must answer there")
        self._tell_of_debts()

    def make_claim(self, row: int) -> bool:
        """Write an operation's claim to disk; whether there is one. ``post_claims`` puts it on the board."""
        entry = self.claims.make(row)
        if entry is None:
            return False
        # What was claimed of the bank's earlier key is the same claim, and another debt.
        self._claimed.discard(entry)
        self._told.discard(row)
        self.at("claim-made")
        self._warn(
            f"the bank has not answered operation {row}, so its request goes on the board as a claim: "
            "everyone will see which coins go in and which come out. What comes of it is exchanged once more"
        )
        return True

    def _tell_of_debts(self) -> None:
        for row, due in self.claims.overdue().items():
            if row not in self._told:
                self._told.add(row)
                self._warn(
                    f"the bank owed an answer to the claim of operation {row} by round {due} and gave none: "
                    "anyone can prove it with mixmint board audit"
                )
