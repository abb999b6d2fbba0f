"""
What an authority keeps, in its state folder; each file is replaced whole.

    admitted/NAME      the descriptor with which the operator admitted a node or service; its identity counts
    descriptors/NAME   the newest descriptor of it
    successors/NAME    the key (hex) that signs a service's descriptors instead of its identity's, which is
                       lost or stolen
    chain/N            the signed directory N, of all so far
    said               what this authority promised, voted for and signed for the next number

Never restore ``said`` from a backup: this authority could then sign two directories of one number.
"""

from collections.abc import Iterator
from pathlib import Path

from mix.certificates import check_certificate
from mix.directory.agreement.acceptor import AcceptorState
from mix.directory.agreement.messages import MOST_ENVELOPE_BYTES
from mix.directory.belief import Belief, News, weigh
from mix.directory.descriptor import Descriptor, open_descriptor
from mix.directory.document import Node
from mix.directory.network import Authorities
from mix.directory.verify import read
from mixmint.errors import FatalError, MalformedMessage, UserError
from mixmint.files import write_whole
from mixmint.wire import decode, encode

FOLDERS = ("admitted", "descriptors", "chain")


class Files:
    """Raises UserError when the state folder isn't there, FatalError when something in it is damaged."""

    def __init__(self, folder: Path, authorities: Authorities) -> None:
        self._folder = folder
        self._authorities = authorities
        if not all((folder / each).is_dir() for each in FOLDERS):
            raise UserError(f"{folder} is no authority's state folder; `mixmint directory init` makes one")
        numbers = [int(path.name) for path in (folder / "chain").iterdir() if path.name.isdecimal()]
        self.newest: Belief | None = self._chained(max(numbers)) if numbers else None

    def admitted(self) -> dict[str, bytes]:
        """Names to identities (32 bytes), as they are now."""
        return {name: each.entry.identity for name, each in self._descriptors("admitted")}

    def descriptors(self) -> dict[str, Descriptor]:
        """The newest descriptor of each that is admitted."""
        newest = dict(self._descriptors("admitted"))
        for name, each in self._descriptors("descriptors"):
            known = newest.get(name)
            is_same = known is not None and known.entry.identity == each.entry.identity
            if is_same and known is not None and each.serial > known.serial:
                newest[name] = each
        return newest

    def successors(self) -> dict[str, bytes]:
        """Names of services to the keys (32 bytes) that speak for them now."""
        folder = self._folder / "successors"
        if not folder.is_dir():
            return {}
        try:
            return {
                path.name: bytes.fromhex(path.read_text())
                for path in sorted(folder.iterdir())
                if path.suffix != ".new"
            }
        except ValueError:
            raise FatalError(f"a file in {folder} is damaged; admit its service again") from None

    def admit(self, descriptor: Descriptor, successor: bytes | None = None) -> None:
        """
        The operator wants this one in the network; by its own word, or by this key's (32 bytes).

        Raises UserError when it can't be written.
        """
        name = descriptor.entry.name
        key = self._folder / "successors" / name
        if successor is not None:
            # Before the descriptor: killed in between, the old one still opens, and nothing newer does.
            (self._folder / "successors").mkdir(exist_ok=True)
            write_whole(key, successor.hex().encode())
        write_whole(self._folder / "admitted" / name, descriptor.signed)
        if successor is None:
            key.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """The operator wants it out. Raises UserError when it wasn't admitted."""
        path = self._folder / "admitted" / name
        if not path.exists():
            known = ", ".join(sorted(self.admitted())) or "none"
            raise UserError(f"{name} isn't admitted; admitted: {known}")
        path.unlink()
        (self._folder / "descriptors" / name).unlink(missing_ok=True)
        (self._folder / "successors" / name).unlink(missing_ok=True)

    def hand_in(self, signed: bytes) -> bool:
        """
        Keep a descriptor that came from anywhere; whether it was new.

        Raises MalformedMessage (``not-admitted``, or why it is no good one), UserError when it can't be
        written.
        """
        descriptor = open_descriptor(signed, self.successors())
        name = descriptor.entry.name
        for der in descriptor.entry.certificates if isinstance(descriptor.entry, Node) else ():
            # The others would refuse a directory with it.
            check_certificate(der)
        if self.admitted().get(name) != descriptor.entry.identity:
            raise MalformedMessage("not-admitted")
        known = self.descriptors().get(name)
        if known is not None and known.serial >= descriptor.serial:
            return False
        write_whole(self._folder / "descriptors" / name, signed)
        return True

    def offer(self, signed: bytes) -> News:
        """
        Weigh a signed directory; the next one is kept. Raises MalformedMessage, UserError.
        """
        other = Belief(read(signed, self._authorities.keys, self._authorities.threshold), signed)
        if self.newest is None:
            # We begin with the first one, or the operator's.
            news = News.NEXT if other.sequence == 0 else News.LATER
        else:
            news = weigh(self.newest, other)
        if news is News.NEXT:
            write_whole(self._folder / "chain" / str(other.sequence), signed)
            self.newest = other
        return news

    def directory(self, sequence: int) -> bytes | None:
        """The signed directory of a number."""
        try:
            return (self._folder / "chain" / str(sequence)).read_bytes()
        except OSError:
            return None

    def said(self) -> AcceptorState:
        """What we said for the number that is next."""
        path = self._folder / "said"
        if not path.exists():
            return AcceptorState(0)
        try:
            return decode(path.read_bytes(), AcceptorState, MOST_ENVELOPE_BYTES)
        except MalformedMessage:
            # To begin anew could mean to sign twice.
            raise FatalError(
                f"{path} is damaged; an authority that forgot what it said needs a new key"
            ) from None

    def say(self, state: AcceptorState) -> None:
        """On disk when this returns. Raises UserError."""
        write_whole(self._folder / "said", encode(state))

    def _chained(self, number: int) -> Belief:
        path = self._folder / "chain" / str(number)
        signed = path.read_bytes()
        try:
            return Belief(read(signed, self._authorities.keys, self._authorities.threshold), signed)
        except MalformedMessage as error:
            raise FatalError(f"{path} is damaged, or of other authorities ({error})") from None

    def _descriptors(self, kind: str) -> Iterator[tuple[str, Descriptor]]:
        successors = self.successors()
        for path in sorted((self._folder / kind).iterdir()):
            if path.suffix == ".new":
                continue
            try:
                yield path.name, open_descriptor(path.read_bytes(), successors)
            except MalformedMessage as error:
                earlier = _own_word(path.read_bytes()) if path.name in successors else None
                if earlier is not None:
                    # From before. Admitted, it tells who this is; handed in, it is nobody's word any more.
                    if kind == "admitted":
                        yield path.name, earlier
                    continue
                raise FatalError(f"{path} is damaged ({error}); admit it again") from None


def _own_word(signed: bytes) -> Descriptor | None:
    """A descriptor that is signed by the identity in it."""
    try:
        return open_descriptor(signed)
    except MalformedMessage:
        return None
