"""An accusation for people: what it says, of whom, and whether it holds. Pure."""

from dataclasses import dataclass
from hashlib import sha256

from bank.board.accusation.file import check, decode_accusation
from bank.board.accusation.verdict import Accused
from mix.directory import Authorities
from mixmint.errors import MalformedMessage


@dataclass(frozen=True)
class AccusationView:
    """
    ``against`` in short, ``accused`` with whole keys; ``holds``: by the check made for this page, and else
    ``sentence`` says why not. A file that this version can't read has nothing but its bytes.
    """

    index: int
    round: int
    bytes: int
    digest: str
    title: str = "An accusation that can't be read"
    kind: str = "unknown"
    against: str = "unknown"
    accused: str = "unknown"
    sentence: str = ""
    holds: bool = False

    @property
    def file(self) -> str:
        """What to call it on a disk."""
        return f"{self.kind}-{self.index}.accusation"


def accusation_view(
    index: int, round_: int, data: bytes, *, judge: bool = True, who: Authorities | None = None
) -> AccusationView:
    """
    ``data``: the file's bytes. ``judge``: check it, too: about 40 us for each signature in it, some of which
    are hundreds. ``who``: the network's authorities, who change banks' keys.
    """
    place = (index, round_, len(data), sha256(data).hexdigest())
    try:
        evidence = decode_accusation(data)
    except MalformedMessage as error:
        return AccusationView(*place, sentence=str(error))
    verdict = check(evidence, who) if judge else None
    return AccusationView(
        *place,
        title=evidence.kind.word.replace("-", " ").capitalize(),
        kind=evidence.kind.word,
        against=_in_short(evidence.accused()),
        accused=evidence.accused().text(),
        sentence=verdict.sentence if verdict else "",
        holds=verdict is not None and verdict.holds,
    )


def _in_short(accused: Accused) -> str:
    parts = []
    if accused.board is not None:
        parts.append(f"the board {accused.board.name}")
    if accused.bank_id is not None:
        parts.append(f"the bank {accused.bank_id.hex()[:16]}…")
    if accused.or_its_bank:
        parts.append("its bank")
    return ", or ".join(parts)
