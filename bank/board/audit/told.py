"""What the command line says of an accusation file."""

from pathlib import Path

from bank.board.accusation.file import MOST_FILE_BYTES, check_file
from bank.board.accusation.verdict import Accused
from bank.board.log.note import VerifierKey
from mix.directory import load_authorities
from mixmint.errors import MalformedMessage, UserError


def told(path: Path, key: str | None, bank_key: str | None, network: Path | None = None) -> str:
    """
    The verdict, in words; ``key`` and ``bank_key``: the keys that the asker knows. ``network``: the network's
    file, whose authorities say which later key is a bank's.

    Raises UserError: it is no accusation, it doesn't hold, or it holds against somebody else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_FILE_BYTES + 1)
    except OSError as error:
        raise UserError(f"can't read {path}: {error.strerror}") from None
    try:
        verdict = check_file(data, load_authorities(network) if network else None)
    except MalformedMessage as error:
        raise UserError(f"{path} is no accusation ({error})") from None
    if not verdict.holds:
        raise UserError(f"{path} proves nothing: {verdict.sentence}")
    _compare(verdict.whom, key, bank_key)
    lines = ["It holds.", verdict.sentence, f"Against {verdict.whom.text()}."]
    if key is None and bank_key is None:
        lines.append("The evidence is good against whoever has this key: compare it with the key you know.")
    return "\n".join(lines)


def _compare(whom: Accused, key: str | None, bank_key: str | None) -> None:
    """Raises UserError when what the asker knows is of somebody else."""
    known = False
    if key is not None:
        try:
            board = VerifierKey.parse(key)
        except MalformedMessage:
            raise UserError(f"{key} is no verifier key; it looks like board.example.org+hex+base64") from None
        known |= _same(whom.board, board, f"it holds against another board: {whom.text()}")
    if bank_key is not None:
        try:
            bank = bytes.fromhex(bank_key)
        except ValueError:
            raise UserError("the bank's key is 64 hexadecimal digits") from None
        # By its first key or the accused one: who knows either knows the bank.
        accused = bank if bank in (whom.bank, whom.founding) else whom.bank
        known |= _same(accused, bank, f"it holds against another bank: {whom.text()}")
    if known and whom.board is not None and whom.bank is not None and (key is None or bank_key is None):
        # A board and a bank, one of which broke the rules: whoever makes a key of his own is the second one.
        raise UserError(
            f"it accuses one of two, and whoever made the other one's key may be the cheat: {whom.text()}. "
            "Name both keys, if you know them: --key VKEY --bank-key HEX"
        )
    if not known and (key is not None or bank_key is not None):
        raise UserError(f"it holds, but not against a key that you named: it accuses {whom.text()}")


def _same(accused: object, known: object, otherwise: str) -> bool:
    """Whether the accused is the one who is known; False when nobody of this sort is accused."""
    if accused is None:
        return False
    if accused != known:
        raise UserError(otherwise)
    return True
