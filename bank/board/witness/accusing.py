"""From the forks that a witness refused to accusation files: they convict the log to all who know its key."""

from pathlib import Path

from bank.board.log.checkpoint import Checkpoint
from bank.board.reading.conviction import accusation_of
from bank.board.reading.fork import Fork, ForkedLog
from bank.board.witness.daemon import read_logs
from bank.board.witness.settings import WitnessSettings
from bank.board.witness.store import forks_seen
from mixmint.keys import write_new


def write_accusations(settings: WitnessSettings, folder: Path) -> list[Path]:
    """
    Write a file for each fork of the logs that are watched into ``folder``, which is made if it isn't there.

    Returns the new files; those that were there stay as they are. Raises UserError.
    """
    logs = read_logs(settings.logs)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for fork in forks_seen(settings.database_path):
        checkpoint = Checkpoint.parse(fork.refused.text)
        found = Fork(fork.cosigned, fork.refused, checkpoint.root)
        path = folder / f"fork-{checkpoint.size}-{checkpoint.root.hex()[:8]}.accusation"
        # Of a log with two keys, one may have signed the one note, and one the other.
        signers = [key for key in logs.get(fork.origin, []) if found.holds(key)]
        if signers and not path.exists():
            write_new(path, accusation_of(ForkedLog(found, signers[0])))
            written.append(path)
    return written
