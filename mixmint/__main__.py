"""``python -m mixmint``: the one command."""

from mixmint.cli import main

main()
