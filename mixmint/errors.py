"""
The project's errors, in three families.

    MixmintError
    ├── PeerError            the other side broke the rules
    │   ├── MalformedPacket      bytes that are no packet for us
    │   └── MalformedMessage     bytes that are no wire message of the expected kind
    ├── UserError            our caller can mend it (exit code 1: nothing happened)
    │   ├── Unavailable          a daemon or service can't be reached right now
    │   └── PendingError         the outcome isn't known yet (exit code 3: resume)
    └── FatalError           our own state is in doubt: stop, let recovery decide

Parsers turn a library's exception into one of these at the boundary; only ``main()`` exits.
"""


class MixmintError(Exception):
    """The root of every error that mixmint raises on purpose."""


class PeerError(MixmintError):
    """
    The other side broke the rules.

    Outside, every such failure looks the same. Inside, ``reason`` names a counter: one of a small fixed set
    of words, never bytes that the peer chose.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class MalformedPacket(PeerError):
    """A packet that can't be unwrapped, or whose command means nothing here. Dropped in silence."""


class MalformedMessage(PeerError):
    """Bytes that are no canonical encoding of the message expected."""


class UserError(MixmintError):
    """
    The caller can mend this.

    The text is what the command line prints, one line: what is wrong, and the next step.
    """


class Unavailable(UserError):
    """Nobody answered, or the answer was "not now". Nothing happened that must be resumed."""


class PendingError(UserError):
    """It was sent, and what became of it isn't known. Never "failed": resuming finds out."""


class FatalError(MixmintError):
    """Our own state can't be trusted (or stored) any more. The process stops."""
