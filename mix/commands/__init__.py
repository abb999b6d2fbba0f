"""
The operator's commands of the mix floor.

    nodes.py         ``mixmint mix``, ``mixmint gateway``
    directories.py   ``mixmint directory``: files made by hand
    authorities.py   ``mixmint directory``: authorities as daemons
    simulating.py    ``mixmint simulate``
"""

from mix.commands.authorities import COMMANDS
from mix.commands.directories import directory
from mix.commands.nodes import gateway, mix
from mix.commands.simulating import simulate

__all__ = ["directory", "gateway", "mix", "simulate"]

for command in COMMANDS:
    directory.add_command(command)
