"""
Making a board: the folder that ``mixmint board init`` leaves behind.

    board.toml      settings
    board.key       signs the log's checkpoints; the board's identity
    endpoint.key    opens packets that come for the board over the mixes
    descriptor      public: hand it to the directory's authorities

``board.db``, ``log/`` and ``map/`` come with the first start: an empty board is no loss, and nothing secret
is in them.
"""

from collections.abc import Mapping
from pathlib import Path

from bank.board.log.checkpoint import check_origin, origin_of
from mixmint.errors import UserError
from replyblocks.init import create_service


def create_board(folder: Path, gateway: str, url: str, settings: Mapping[str, str | int]) -> Path:
    """
    Make the folder; returns the path of the descriptor.

    ``url`` names the log for ever, too. Raises UserError if it can't, if ``bank_key`` is no key, or if the
    folder isn't empty: no key is ever overwritten.
    """
    if not _is_key(str(settings.get("bank_key", "0" * 64))):
        raise UserError("--bank-key is 64 hexadecimal digits; `mixmint directory show` prints it")
    named = {**settings, "origin": check_origin(origin_of(url))}
    descriptor, _ = create_service(folder, "board", gateway, named, url=url, identity_file="board.key")
    return descriptor


def _is_key(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
