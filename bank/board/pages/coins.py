"""A coin's page: its state by its entries, and what is wrong with them. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from bank.formats.entry import CertifiedEntry, Kind, ReplacedEntry, SpentEntry, decode_entry

_TITLES = {
    Kind.CERTIFIED: "Certified",
    Kind.POSTED: "Certificate posted",
    Kind.SPENT: "Spent",
    Kind.REPLACED: "Replaced",
}


@dataclass(frozen=True)
class CoinLine:
    """One entry about the coin, spelled out."""

    index: int
    round: int
    kind: str
    title: str
    void: bool = False
    units: int = 0
    epoch: int = 0
    seal: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class CoinView:
    """``alarm``: why the entries convict the bank; empty if they don't."""

    id: str
    state: str
    alarm: str
    entries: list[CoinLine]


def coin_view(coin: bytes, found: Sequence[tuple[int, int, bytes]], void: Collection[int] = ()) -> CoinView:
    """
    A coin (id, 32 bytes) and all its entries as (index, round, bytes), ascending; ``void``: the indexes of
    those that a replaced key of the bank's signed. They are shown, and say nothing.
    """
    lines = [replace(_line(*each), void=each[0] in void) for each in found]
    counting = [line for line in lines if not line.void]
    kinds = {line.kind for line in counting}
    # States only grow, as in the map.
    state = next((each for each in ("replaced", "spent") if each in kinds), "")
    state = state or ("certified" if kinds else "unknown")
    return CoinView(coin.hex(), state, _alarm(counting), lines)


def _alarm(lines: Sequence[CoinLine]) -> str:
    """The same entry twice proves nothing: a board can copy it."""
    worths = {(line.units, line.epoch) for line in lines if line.kind in {"certified", "posted"}}
    seals = {line.seal for line in lines if line.kind == "spent"}
    replaced = any(line.kind == "replaced" for line in lines)
    if len(seals) > 1:
        return "It was spent more than once: the entries below are evidence against the bank."
    if len(worths) > 1:
        return "It was certified with two values or epochs: the entries below are evidence against the bank."
    if seals and replaced:
        return "It was spent, and taken back all the same: the entries below are evidence against the bank."
    if seals and not worths:
        return "It was spent, but the bank never certified it: evidence against the bank."
    return ""


def _line(index: int, round_: int, data: bytes) -> CoinLine:
    entry, kind = decode_entry(data), Kind(data[0])
    line = (index, round_, kind.name.lower(), _TITLES[kind])
    if isinstance(entry, SpentEntry):
        return CoinLine(
            *line,
            seal=entry.seal.hex(),
            fields=[
                ("Coin key", entry.coin_key.hex()),
                ("Seal of the order", entry.seal.hex()),
                ("Signature, by the coin's key", entry.signature.hex()),
            ],
        )
    if isinstance(entry, CertifiedEntry):
        signed = ("Certificate, by the bank's key", entry.certificate.hex())
    elif isinstance(entry, ReplacedEntry):
        signed = ("Signature, by the bank's key", entry.signature.hex())
    else:
        raise TypeError(entry)
    fields = [("Coin epoch", str(entry.epoch)), signed]
    return CoinLine(*line, units=1 << entry.exponent, epoch=entry.epoch, fields=fields)
