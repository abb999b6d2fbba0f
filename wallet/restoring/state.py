"""How far a restore is: a fact of the purse that is being restored, gone when it is over."""

import msgspec

from mixmint.errors import FatalError
from wallet.purse import Purse

_FACT = "restoring"


class Restoring(msgspec.Struct, frozen=True, kw_only=True):
    """
    ``is_near``: the log isn't read yet, and the wallet can't be used. ``device``: the number that the member
    asked for, at least.
    """

    is_near: bool = True
    device: int = 0

    @classmethod
    def of(cls, purse: Purse) -> "Restoring | None":
        """None when no restore is under way. Raises FatalError when it can't be read."""
        stored = purse.fact(_FACT)
        try:
            return None if not stored else msgspec.msgpack.decode(stored, type=cls)
        except msgspec.MsgspecError:
            raise FatalError("how far the restore is can't be read; update mixmint") from None

    def write(self, purse: Purse) -> None:
        """Inside the purse's transaction."""
        purse.set_fact(_FACT, self.encode())

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @staticmethod
    def clear(purse: Purse) -> None:
        """It is over. Inside the purse's transaction."""
        purse.set_fact(_FACT, b"")

    def over(self) -> "Restoring":
        """The wallet can be used; only the deep search is left."""
        return msgspec.structs.replace(self, is_near=False)
