"""
The teller: carries operations to their end.

    board.py      reads the board, and posts what the bank left undone there
    driving.py    a task for each operation: asks the bank, and books what comes first
"""

from wallet.teller.board import nothing
from wallet.teller.driving import PENDING, Start, Teller

__all__ = ["PENDING", "Start", "Teller", "nothing"]
