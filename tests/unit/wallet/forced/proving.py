"""Leaves of a log by hand, with their proof."""

from collections.abc import Sequence

from bank.board.accusation.evidence import Leaves, SignedLog
from bank.board.log.tree import prove_many
from tests.unit.bank.board.logs import LogMaker


def prove(maker: LogMaker, indexes: Sequence[int]) -> tuple[SignedLog, Leaves]:
    """What anyone can make of a board's files."""
    order = sorted(set(indexes))
    proof = prove_many(order, maker.edge.size, lambda node: maker.folder.node(node, maker.edge.size))
    leaves = Leaves(tuple((index, maker.leaves[index]) for index in order), tuple(proof))
    return SignedLog.of(maker.sign(), maker.verifier), leaves
