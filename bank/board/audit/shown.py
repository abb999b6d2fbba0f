"""
Proofs about single coins that the auditor was shown: does the map that they are from say of the coin what
the log says? The audit makes each map anew, by its root; what a map says that has another root, only he knows
who was given a proof from it.

Source: docs/spec/accusation.md, section 4; docs/spec/map.md.
"""

from collections.abc import Sequence

from bank.board.accusation.log import MapFalse
from bank.board.audit.chunk import RECORD, VOID
from bank.board.audit.convict import Prosecutor
from bank.board.audit.finding import Fault, Finding, Weight
from bank.board.audit.replay import Replay
from bank.board.audit.spill import Spilled, read_shards
from bank.board.map.coin_proof import CoinProof
from mixmint.errors import PeerError


async def judge_proofs(
    proofs: Sequence[CoinProof], spilled: Spilled, replay: Replay, prosecutor: Prosecutor
) -> list[Finding]:
    """What is to be said of them; nothing of those that say what the log says."""
    found = [await _judge(each, spilled, replay, prosecutor) for each in proofs]
    return [finding for finding in found if finding is not None]


async def _judge(
    shown: CoinProof, spilled: Spilled, replay: Replay, prosecutor: Prosecutor
) -> Finding | None:
    coin, entry, index = shown.coin.hex(), shown.entry, shown.log.index
    try:
        state = shown.proof.verify(shown.coin, entry.root) or 0
    except PeerError:
        return Finding(Weight.NOTE, Fault.MAP, f"the proof about coin {coin} proves nothing.")
    if index >= prosecutor.signed.size or await replay.leaf(index) != entry.encode():
        words = f"the map that the proof about coin {coin} is from is not at entry {index} of this log."
        return Finding(Weight.NOTE, Fault.MAP, words)
    leaf = says_more(shown.coin, state, entry.size, spilled)
    if leaf is None:
        return None
    leaves = await prosecutor.leaves(prosecutor.signed.size, (leaf, index))
    evidence = None if leaves is None else MapFalse(prosecutor.signed, leaves, shown.proof)
    words = f"the map of entry {index} says less of coin {coin} than entry {leaf}, of which it is made"
    return prosecutor.finding(Fault.MAP, evidence, words)


def says_more(coin: bytes, state: int, size: int, spilled: Spilled) -> int | None:
    """The first of the log's ``size`` leaves that says more of the coin."""
    for records in read_shards(spilled.folder, coin[0], 1):
        for each, index, what, *_ in RECORD.iter_unpack(records):
            if each == coin and index < size and what & ~VOID > state:
                return int(index)
    return None
