"""
Policies: which log, which witnesses, and how many of them must have seen a checkpoint before it counts.

    # a comment
    log     <verifier key> [<url>]
    witness <name> <verifier key> [<url>]
    group   <name> all|any|<k> <name> ...
    quorum  <name>|none

The shape is Sigsum's policy file, with the verifier keys of C2SP. A name is defined before it is used. Groups
may hold groups; each name is a member of one group at most. The quorum is a witness, a group, or ``none``.

Source: docs/spec/log.md, section 5.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from bank.board.log.note import KeyKind, Note, Signature, VerifierKey, is_name
from mixmint.errors import MalformedMessage, PeerError, UserError

MOST_POLICY_BYTES = 1 << 16
_WHITE = re.compile(r"[ \t]+")
MOST_WITNESSES = 32
"""With all of their lines a checkpoint stays a note that every reader takes."""
NONE = "none"


@dataclass(frozen=True, slots=True)
class Witness:
    """What this policy calls a witness, its key, and where it takes checkpoints (None: it isn't asked)."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Met when ``least`` of its members (witnesses, or groups that are met) are."""

    least: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """What a reader demands. Without a file: nothing but the log's own signature."""

    log: VerifierKey | None = None
    log_url: str | None = None
    witnesses: tuple[Witness, ...] = ()
    groups: tuple[tuple[str, Group], ...] = ()
    quorum: str = NONE

    def is_met(self, names: Collection[str]) -> bool:
        """Whether the witnesses with these names are enough."""
        if self.quorum == NONE:
            return True
        met = {witness.name for witness in self.witnesses if witness.name in names}
        # Each group comes after its members.
        for name, group in self.groups:
            if sum(member in met for member in group.members) >= group.least:
                met.add(name)
        return self.quorum in met

    def cosignatures(self, note: Note) -> dict[Witness, Signature]:
        """
        Which of the policy's witnesses cosigned a note.

        Raises PeerError("signature") when a line that bears the name of one of them isn't its.
        """
        signed = note.signed_by([witness.key for witness in self.witnesses])
        return {witness: signed[witness.key] for witness in self.witnesses if witness.key in signed}

    def check(self, note: Note) -> dict[Witness, Signature]:
        """The cosignatures of a note that has enough of them. Raises PeerError: ``signature``, ``quorum``."""
        found = self.cosignatures(note)
        if not self.is_met([witness.name for witness in found]):
            raise PeerError("quorum", f"{len(found)} of {len(self.witnesses)} witnesses cosigned; too few")
        return found


NO_POLICY = Policy()


def load_policy(path: Path) -> Policy:
    """Read a policy file. Raises UserError, which names the line."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_POLICY_BYTES + 1)
    except OSError as error:
        raise UserError(f"can't read the policy {path}: {error.strerror}") from None
    try:
        if len(data) > MOST_POLICY_BYTES:
            raise MalformedMessage("policy", "it is too long")
        return parse_policy(data.decode())
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text") from None
    except MalformedMessage as error:
        raise UserError(f"{path}: {error}") from None


def parse_policy(text: str) -> Policy:
    """Raises MalformedMessage("policy"), its detail naming the line."""
    reading = _Reading()
    for number, line in enumerate(text.split("\n"), start=1):
        words = [word for word in _WHITE.split(line) if word]
        if words and not words[0].startswith("#"):
            try:
                reading.take(words[0], words[1:])
            except MalformedMessage as error:
                raise MalformedMessage("policy", f"line {number}: {error.detail or error.reason}") from None
    if reading.quorum is None:
        raise MalformedMessage("policy", "there is no quorum line; `quorum none` demands no witness")
    return Policy(
        reading.log, reading.log_url, tuple(reading.witnesses), tuple(reading.groups.items()), reading.quorum
    )


class _Reading:
    """What the lines so far have said."""

    def __init__(self) -> None:
        self.log: VerifierKey | None = None
        self.log_url: str | None = None
        self.witnesses: list[Witness] = []
        self.groups: dict[str, Group] = {}
        self.quorum: str | None = None

    def take(self, word: str, rest: list[str]) -> None:
        readers: dict[str, Callable[[list[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum,
        }
        if word not in readers:
            raise MalformedMessage("policy", f"{word!r}: a line begins with log, witness, group or quorum")
        readers[word](rest)

    def _log(self, rest: list[str]) -> None:
        if self.log is not None or len(rest) not in {1, 2}:
            raise MalformedMessage("policy", "one log: log <verifier key> [<url>]")
        self.log, self.log_url = _key(rest[0], KeyKind.LOG), rest[1] if len(rest) == 2 else None

    def _witness(self, rest: list[str]) -> None:
        if len(rest) not in {2, 3}:
            raise MalformedMessage("policy", "witness <name> <verifier key> [<url>]")
        key = _key(rest[1], KeyKind.WITNESS)
        if any(witness.key.public == key.public for witness in self.witnesses):
            # Counted twice, one witness would be a quorum of two.
            raise MalformedMessage("policy", "this witness's key is there already")
        if len(self.witnesses) == MOST_WITNESSES:
            raise MalformedMessage("policy", f"at most {MOST_WITNESSES} witnesses")
        self.witnesses.append(Witness(self._fresh(rest[0]), key, rest[2] if len(rest) == 3 else None))

    def _group(self, rest: list[str]) -> None:
        if len(rest) < 3:
            raise MalformedMessage("policy", "group <name> all|any|<k> <name> ...")
        name, count, members = self._fresh(rest[0]), rest[1], rest[2:]
        if len(set(members)) != len(members) or not all(map(self._is_known, members)):
            raise MalformedMessage("policy", "members are witnesses and groups from above, each once")
        if any(set(members) & set(group.members) for group in self.groups.values()):
            # Else one witness could count twice on the way to a quorum.
            raise MalformedMessage("policy", "a witness or group is a member of one group at most")
        least = {"all": len(members), "any": 1}.get(count)
        if least is None and count.isascii() and count.isdecimal() and len(count) < 4:
            least = int(count)
        if least is None or not 1 <= least <= len(members):
            raise MalformedMessage("policy", f"{count!r}: all, any, or a number of the members")
        self.groups[name] = Group(least, tuple(members))

    def _quorum(self, rest: list[str]) -> None:
        if self.quorum is not None or len(rest) != 1:
            raise MalformedMessage("policy", "one quorum: quorum <name>|none")
        if rest[0] != NONE and not self._is_known(rest[0]):
            raise MalformedMessage("policy", f"{rest[0]!r} is no witness or group from above")
        self.quorum = rest[0]

    def _is_known(self, name: str) -> bool:
        return name in self.groups or any(witness.name == name for witness in self.witnesses)

    def _fresh(self, name: str) -> str:
        if name == NONE or self._is_known(name) or not is_name(name):
            raise MalformedMessage("policy", f"{name!r} is taken already, or can't be a name")
        return name


def _key(text: str, kind: KeyKind) -> VerifierKey:
    try:
        key = VerifierKey.parse(text)
    except MalformedMessage:
        raise MalformedMessage("policy", "that is no verifier key") from None
    if key.kind is not kind:
        raise MalformedMessage("policy", f"that key isn't a {kind.name.lower()}'s")
    return key
