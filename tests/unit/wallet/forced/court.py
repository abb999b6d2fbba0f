"""
A town whose bank reads its board and answers the claims there, as the daemon does, and whose log is audited.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from bank.board.accusation.file import check_file
from bank.board.audit.audit import Audit, Report
from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.reading.client import BoardReader
from bank.claims.clerk import Clerk
from bank.claims.reading import look_for
from bank.confirmer import Confirmer
from bank.formats.entry import AnswerEntry, ClaimEntry, RoundEntry
from bank.ledger import Terms
from bank.statements import Statements
from mixmint.errors import UserError
from tests.unit.bank.board.logs import BEGIN_S
from tests.unit.wallet.town import Files, Town, Wallet

TERMS = Terms(epoch_s=10**8, hold_rounds=10, promise_rounds=3, claim_rounds=6)
SOON: dict[str, Any] = {"claim_after_rounds": 4, "settle_wait_s": 60}
"""Settings of wallets here: a claim after 4 rounds, or up to 2 more."""


IMPATIENT_S = 0.05


class Court(Town):
    """``silent``: the clerk answers no claims."""

    def __init__(self, folder: Path, terms: Terms = TERMS) -> None:
        self.silent = False
        super().__init__(folder, terms)

    def open_bank(self) -> None:
        super().open_bank()
        reader = BoardReader(LogReader(Files(self.board), self.board.maker.verifier))
        self.confirmer = Confirmer(
            self.store, reader, self.folder / "bank-evidence", pause_s=0, look=look_for(self.signer)
        )
        self.clerk = Clerk(self.store, self.signer, self.clock, pause_s=0)
        self.feeder._statements = Statements(self.signer, 4)

    async def tick(self, _: float = 0) -> None:
        # Rounds close in no time here; who asks the bank has its answer before a claim is due.
        while self.asking:  # noqa: ASYNC110 - answers come from a thread within a millisecond or two
            await asyncio.sleep(0)
        await super().tick()
        if not self.board.is_down:
            while self.confirmer.complaint is None and await self.confirmer.step():
                pass
            if not self.silent:
                while await self.clerk.step():
                    pass

    async def ticks(self, count: int) -> None:
        for _ in range(count):
            await self.tick()

    async def resume(self, wallet: Wallet) -> None:
        """A round closes, and the member asks how things stand; he doesn't wait for what takes long."""
        await self.tick()
        with suppress(UserError), wallet.teller.hurry(IMPATIENT_S):
            await wallet.cashier.resume()

    async def resume_until(self, wallet: Wallet, rounds: int = 100) -> None:
        """A member who runs the command now and then, until nothing of his is open."""
        for _ in range(rounds):
            await self.resume(wallet)
            if not wallet.cashier.undecided():
                return
        raise AssertionError("the wallet's operations never end")

    async def funded(self, name: str = "ann", units: int = 8, **settings: Any) -> Wallet:
        """A wallet with coins."""
        made = self.wallet(name, **(SOON | settings))
        await self.fund(made, units)
        await made.cashier.withdraw(units)
        return made

    def round_of_claim(self) -> int:
        """The round that shows the first claim."""
        entries = self.board.entries()
        at = next(place for place, entry in enumerate(entries) if isinstance(entry, ClaimEntry))
        return next(entry.number for entry in entries[at:] if isinstance(entry, RoundEntry))

    def claims(self) -> list[ClaimEntry]:
        return [entry for entry in self.board.entries() if isinstance(entry, ClaimEntry)]

    def answers(self) -> list[AnswerEntry]:
        return [entry for entry in self.board.entries() if isinstance(entry, AnswerEntry)]

    async def audit(self) -> Report:
        """By somebody who has the log's files and its key."""
        maker = self.board.maker
        reader = LogReader(FolderSource(maker.folder.path), maker.verifier)
        with ThreadPoolExecutor(1) as pool:
            return await Audit(reader, pool, 1).run(BEGIN_S + maker.round)

    def convictions(self, wallet: Wallet) -> list[str]:
        """Kinds of the files in the wallet's evidence folder that hold against the bank."""
        return sorted(kinds(wallet.books.evidence(), self.key.public))


def kinds(files: Sequence[Path], bank_key: bytes) -> list[str]:
    found = []
    for path in files:
        data = path.read_bytes()
        if data.startswith(b"mixmint accusation"):
            verdict = check_file(data)
            if verdict.holds and verdict.whom.bank == bank_key and verdict.whom.board is None:
                found.append(data.split(b"\n")[1].decode().removeprefix("kind: "))
    return found
