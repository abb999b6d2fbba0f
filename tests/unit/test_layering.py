"""Imports go downwards only: wallet -> bank -> replyblocks -> mix -> mixmint."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOORS = ("mixmint", "mix", "replyblocks", "bank", "wallet")
PURE = (
    "bank/board/accusation",
    "bank/ledger",
    "bank/formats",
    "bank/board/map/growing.py",
    "bank/board/map/proof.py",
    "bank/board/map/states.py",
    "bank/board/map/trie.py",
    "mix/strategies",
    "mix/packet",
    "replyblocks/conversation",
    "wallet/machines",
    "wallet/plans.py",
)
SOCKETS_AND_FILES = {"aiohttp", "socket", "sqlite3", "asyncio", "time", "random"}


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def test_no_floor_imports_a_higher_one() -> None:
    """mix never learns what money is."""
    for height, floor in enumerate(FLOORS):
        files = list((ROOT / floor).rglob("*.py"))
        assert files
        for path in files:
            upward = imported(path) & set(FLOORS[height + 1 :])
            assert not upward, f"{path} imports {upward}"


def test_pure_cores_import_no_socket_clock_or_database() -> None:
    """The ledger's rules never learn what a socket is; a seeded test needs no sleeping."""
    for name in PURE:
        place = ROOT / name
        files = [place] if place.suffix else [*place.rglob("*.py"), *place.parent.glob(place.name + ".py")]
        assert files, name
        for path in files:
            assert not imported(path) & SOCKETS_AND_FILES, path
