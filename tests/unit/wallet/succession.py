"""A town whose bank is lost, and a successor who takes over: from the board and a list of accounts alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bank.board.log.reader import LogReader
from bank.board.log.source import FolderSource
from bank.board.reading.client import BoardReader
from bank.formats.entry import KeyChangeEntry
from bank.formats.succession import BankKeys, Cut, KeyChange
from bank.ledger import Signer
from bank.recovery.balances import list_balances, read_balances
from bank.recovery.opening import Rebuilt
from bank.recovery.rebuild import Rebuild
from bank.stores.sqlite import SqliteCommandStore, open_books
from mix.directory import Authorities
from mixmint.errors import UserError
from mixmint.keys import SigningKey
from tests.unit.wallet.town import Town
from wallet.answers import Bank as BankNames

AUTHORITIES = tuple(SigningKey(bytes([number]) * 32) for number in (11, 12, 13))
NETWORK = Authorities(tuple(each.public for each in AUTHORITIES), 2)


@dataclass
class Handover:
    """What is done when a town's bank is replaced, step by step."""

    town: Town
    answer_rounds: int = 50
    keys: BankKeys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = BankKeys(self.town.key.public)
        self.town.names = BankNames(self.keys, NETWORK)

    async def list_accounts(self) -> Path:
        """The bank's list, as it is now."""
        town = self.town
        path = town.folder / "balances.json"
        path.write_bytes(await town.store.run(lambda book: list_balances(book, town.signer.bank, town.key)))
        return path

    def cut(self) -> Cut:
        """At the board's newest round."""
        edge = self.town.board.maker.edge
        return Cut(edge.size, edge.root())

    async def lose(self) -> None:
        """The bank's database and key are gone."""
        await self.town.bank.close()
        await self.town.store.close()
        (self.town.folder / "bank.db").unlink()

    def change(
        self, new: SigningKey, cut: Cut | None = None, by: Sequence[SigningKey] = AUTHORITIES[:2]
    ) -> KeyChange:
        """Sign the next change and put it on the board; a round closes."""
        made = KeyChange(
            self.keys.id,
            len(self.keys.changes) + 1,
            self.keys.current,
            new.public,
            cut or self.cut(),
            self.answer_rounds,
        )
        for authority in by:
            made = made.signed_by(authority)
        board = self.town.board
        board.posted.append(KeyChangeEntry(made).encode())
        board.close_round()
        if len(by) >= NETWORK.threshold:
            self.keys = self.keys.after(made)
            board.begin_feed()
        return made

    async def recover(
        self, new: SigningKey, balances: Path, folder: Path | None = None, accepted_units: int = 0
    ) -> Rebuilt:
        """The successor's books, from the board's files or a copy of them; then he opens."""
        town, keys = self.town, self.keys
        rebuild = Rebuild(keys, NETWORK, read_balances(balances, keys.id, keys.all))
        source = FolderSource(folder or town.board.maker.folder.path)
        reader = BoardReader(LogReader(source, town.board.maker.verifier))
        store = SqliteCommandStore(open_books(town.folder / "bank.db", keys.id))
        while rounds := await reader.rounds(rebuild.cursor, 7):
            page = rounds
            rebuild.accept(store.run(lambda book: rebuild.take(book, page)))  # noqa: B023 - run at once
        rebuild.check()
        try:
            made = store.run(lambda book: rebuild.finish(book, new, accepted_units))
        except UserError:
            (town.folder / "bank.db").unlink()
            raise
        finally:
            store.close()
        town.key = new
        town.signer = Signer(new, town.signer.terms, keys.id, made.round + self.answer_rounds)
        town.open_bank()
        await town.tick()
        return made
