"""
Making a board: the folder that ``mixmint board init`` leaves behind.

    board.toml      settings
    board.key       signs rounds; the board's identity
    endpoint.key    opens packets that come for the board over the mixes
    descriptor      public: hand it to the directory's authorities

``board.db`` comes with the first start: an empty board is no loss, and nothing secret is in it.
"""

from collections.abc import Mapping
from pathlib import Path

from mixmint.errors import UserError
from replyblocks.init import create_service


def create_board(folder: Path, gateway: str, url: str, settings: Mapping[str, str | int]) -> Path:
    """
    Make the folder; returns the path of the descriptor.

    Raises UserError if ``bank_key`` is no key, or the folder isn't empty: no key is ever overwritten.
    """
    if not _is_key(str(settings.get("bank_key", "0" * 64))):
        raise UserError("--bank-key is 64 hexadecimal digits; `mixmint directory show` prints it")
    descriptor, _ = create_service(folder, "board", gateway, settings, url=url, identity_file="board.key")
    return descriptor


def _is_key(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
