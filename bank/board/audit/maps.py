"""The board's map entries: each made at the end of its round, with the root that its leaves have."""

from bank.board.audit.convict import Prosecutor
from bank.board.audit.counting import map_roots
from bank.board.audit.finding import Fault, Finding
from bank.board.audit.replay import Replay
from bank.board.audit.spill import Landmark, Spilled
from bank.formats.entry import MapEntry

MOST_FINDINGS = 16


class Maps:
    """The checks of all map entries of one log."""

    def __init__(self, spilled: Spilled, replay: Replay, prosecutor: Prosecutor) -> None:
        self._spilled = spilled
        self._replay = replay
        self._prosecutor = prosecutor
        self.findings: list[Finding] = []
        self.count = 0

    def sizes(self) -> set[int]:
        """The sizes of the log at which a root is wanted."""
        return {entry.size for landmark, entry in self._all() if entry.size <= landmark.leaf}

    async def compare(self) -> None:
        """Against the roots that the second pass made."""
        sizes = sorted(self.sizes())
        by_size: dict[int, list[tuple[Landmark, MapEntry]]] = {}
        for landmark, entry in self._all():
            self.count += 1
            by_size.setdefault(entry.size, []).append((landmark, entry))
        for size, (coins, root) in zip(sizes, map_roots(self._spilled.folder, len(sizes)), strict=True):
            for landmark, entry in by_size.pop(size):
                await self._judge(landmark, entry, coins, root)
        for landmark, _ in (each for entries in by_size.values() for each in entries):
            await self._misplaced(landmark.leaf, landmark.leaf)

    def _all(self) -> list[tuple[Landmark, MapEntry]]:
        return [
            (landmark, entry) for landmark, entry in self._spilled.landmarks() if isinstance(entry, MapEntry)
        ]

    async def _judge(self, landmark: Landmark, entry: MapEntry, coins: int, root: bytes) -> None:
        place = self._spilled.round_of(entry.size - 1) if entry.size else None
        if place is None or (place.mark, place.number) != (entry.size - 1, entry.round):
            await self._misplaced(entry.size - 1, landmark.leaf)
        elif (entry.coins, entry.root) != (coins, root):
            self._add(
                self._prosecutor.finding(
                    Fault.MAP,
                    None,
                    f"the map of entry {landmark.leaf} is not that of the first {entry.size} entries",
                )
            )

    async def _misplaced(self, *indexes: int) -> None:
        if len(self.findings) >= MOST_FINDINGS:
            return
        evidence = await self._prosecutor.invalid(*(index for index in indexes if index >= 0))
        words = f"the map of entry {indexes[-1]} was not made at the end of its round"
        self._add(self._prosecutor.finding(Fault.MAP, evidence, words))

    def _add(self, finding: Finding) -> None:
        if len(self.findings) < MOST_FINDINGS:
            self.findings.append(finding)
