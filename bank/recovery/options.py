"""Options that several of the recovery's commands have."""

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
NETWORK = click.option(
    "--network", type=FILE, required=True, help="The network file: whose signatures count."
)
POLICY = click.option(
    "--policy",
    type=FILE,
    help="Which witnesses must have seen the log.  [default: policy beside the network]",
)
