"""
Whether a proposed directory is one that this authority wants: nothing in it is the proposer's to choose, but
the time. Pure.

Source: docs/spec/agreement.md, section 5.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from mix.certificates import check_certificate
from mix.directory.belief import Belief
from mix.directory.build import BACKDATED_S, Parameters, compose
from mix.directory.descriptor import Descriptor, open_descriptor
from mix.directory.document import Directory, Node, Service
from mix.directory.verify import SKEW_S, check_node, read_document
from mixmint.errors import MalformedMessage, UserError
from mixmint.wire import encode


@dataclass(frozen=True)
class Wishes:
    """
    What an authority wants in the network: whom it admitted (name -> identity, 32 bytes), the newest
    descriptor that it has of each, the cascades, the parameters; and by which key (32 bytes) it takes the
    descriptors of services whose identity's own is lost or stolen.
    """

    parameters: Parameters
    cascades: Sequence[tuple[str, ...]]
    admitted: Mapping[str, bytes]
    descriptors: Mapping[str, Descriptor] = field(repr=False)
    successors: Mapping[str, bytes] = field(default_factory=dict)

    def usable(self, now_s: float) -> dict[str, Descriptor]:
        """Descriptors of admitted ones that can be in a directory now."""
        return {
            name: descriptor
            for name, descriptor in self.descriptors.items()
            if self.admitted.get(name) == descriptor.entry.identity
            and _is_usable(descriptor, now_s, self.parameters.epoch_s)
        }


def wanted(wishes: Wishes, current: Belief | None, now_s: float) -> tuple[bytes, tuple[bytes, ...]]:
    """
    The document that this authority would propose now, and the descriptors in it.

    Raises UserError when there are too few for a network.
    """
    usable = wishes.usable(now_s)
    document = _document(wishes, usable, current, now_s)
    try:
        read_document(document)
    except MalformedMessage as error:
        raise UserError(f"what is admitted makes no directory ({error})") from None
    return document, tuple(usable[name].signed for name in sorted(usable))


def is_due(wishes: Wishes, current: Belief | None, now_s: float) -> bool:
    """Whether a new directory is wanted: something has changed, or half of the current one's time is over."""
    if current is None:
        return True
    directory = current.directory
    half_s = directory.valid_from_s + (directory.valid_until_s - directory.valid_from_s) / 2
    if now_s >= half_s:
        return True
    usable = wishes.usable(now_s)
    fresh = compose(_entries(usable), _cascades(wishes, usable), wishes.parameters, None, now_s)
    times = ("sequence", "previous", "valid_from_s", "valid_until_s", "epoch")
    return replace(fresh, **{name: getattr(directory, name) for name in times}) != directory


def judge(
    document: bytes,
    descriptors: Sequence[bytes],
    wishes: Wishes,
    current: Belief | None,
    now_s: float,
    *,
    is_old: bool,
) -> None:
    """
    Raises MalformedMessage, with what is wrong, unless this is what we would have proposed, at about this
    time, with descriptors at least as new as ours. ``is_old``: it was proposed before, so it may be older and
    leave out what came since.
    """
    directory = read_document(document)
    given = _given(descriptors, wishes)
    proposed_s = directory.valid_from_s + BACKDATED_S
    late_s = now_s - proposed_s
    is_late = late_s > SKEW_S and not is_old
    is_older = current is not None and directory.valid_from_s < current.directory.valid_from_s
    if late_s < -SKEW_S or is_late or is_older:
        raise MalformedMessage("time", f"proposed {late_s:.0f} s ago by our clock; is it right?")
    required = {} if is_old else wishes.usable(now_s)
    for name, ours in required.items():
        theirs = given.get(name)
        if theirs is None or theirs.serial < ours.serial:
            raise MalformedMessage("descriptors", f"{name} is missing, or older than ours")
    epoch_s = wishes.parameters.epoch_s
    if not all(_is_usable(descriptor, proposed_s, epoch_s) for descriptor in given.values()):
        raise MalformedMessage("descriptors", "one that can't be used")
    try:
        ours_now = _document(wishes, given, current, proposed_s)
    except UserError as error:
        raise MalformedMessage("document", str(error)) from None
    if ours_now != document:
        raise MalformedMessage("document", _difference(directory, read_document(ours_now)))


def _given(descriptors: Sequence[bytes], wishes: Wishes) -> dict[str, Descriptor]:
    given: dict[str, Descriptor] = {}
    for signed in descriptors:
        descriptor = open_descriptor(signed, wishes.successors)
        entry = descriptor.entry
        if wishes.admitted.get(entry.name) != entry.identity:
            raise MalformedMessage("descriptors", f"{entry.name} isn't admitted by us")
        if entry.name in given:
            raise MalformedMessage("descriptors", f"{entry.name} is there twice")
        for der in entry.certificates if isinstance(entry, Node) else ():
            check_certificate(der)
        given[entry.name] = descriptor
    return given


def _document(
    wishes: Wishes, usable: Mapping[str, Descriptor], current: Belief | None, now_s: float
) -> bytes:
    cascades = _cascades(wishes, usable)
    previous = None if current is None else current.signed
    return encode(compose(_entries(usable), cascades, wishes.parameters, previous, now_s))


def _cascades(wishes: Wishes, usable: Mapping[str, Descriptor]) -> list[tuple[str, ...]]:
    """Those whose mixes are all there: a mix that left must not stop the other cascades."""
    return [cascade for cascade in wishes.cascades if all(name in usable for name in cascade)]


def _entries(descriptors: Mapping[str, Descriptor]) -> list[Node | Service]:
    return [descriptors[name].entry for name in sorted(descriptors)]


def _is_usable(descriptor: Descriptor, now_s: float, epoch_s: int) -> bool:
    entry = descriptor.entry
    if not isinstance(entry, Node):
        return True
    try:
        # One node that is wrong in itself is left out: it must not keep all others from a new directory.
        check_node(entry, epoch_s)
    except MalformedMessage:
        return False
    return any(key.is_current(now_s) for key in entry.sphinx_keys)


def _difference(theirs: Directory, ours: Directory) -> str:
    names = [name for name in ours.__struct_fields__ if getattr(theirs, name) != getattr(ours, name)]
    return f"we want other {', '.join(names)}"
