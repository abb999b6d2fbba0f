"""
A child process that derives: ``python -m wallet.restoring.worker``. ``workers`` asks.

    greeting   seed 32 || bank id 32: over the socket, so that neither arguments nor environment hold it
    request    a run (wallet.restoring.deriving.Run)
    answer     the first 8 bytes of each id
"""

import socket

from mixmint.child import receive, run, send
from wallet.restoring.deriving import Run, prefixes


def serve(connection: socket.socket) -> None:
    """Until the parent has no more work."""
    greeting = receive(connection)
    seed, bank = greeting[:32], greeting[32:]
    while True:
        send(connection, prefixes(seed, bank, Run.decode(receive(connection))))


if __name__ == "__main__":
    run(serve)
