"""What configs/ says about commands is true: units start what there is, with the files that init writes."""

import configparser
import json
import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path

import click
import pytest

SYSTEMD = Path(__file__).parents[2] / "configs" / "systemd"
UNITS = sorted(SYSTEMD.glob("*.service"))
SETTINGS = {"directory": "authority"}


def read(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign] # systemd's names have capitals
    parser.read(path)
    return parser


def test_every_daemon_has_a_unit() -> None:
    """A new kind of daemon, with a `run` that takes a settings file, needs one, too."""
    daemons = set()
    for point in entry_points(group="mixmint.commands"):
        group = point.load()
        if isinstance(group, click.Group) and "run" in group.commands:
            daemons.add(point.name)
    assert {path.stem.rstrip("@").removeprefix("mixmint-") for path in UNITS} == daemons


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_what_there_is(unit: Path) -> None:
    """The command, its options, and the settings file that its init command writes."""
    service = read(unit)["Service"]
    program, kind, command, *options = shlex.split(service["ExecStart"])
    assert program.endswith("/bin/mixmint")
    (point,) = entry_points(group="mixmint.commands", name=kind)
    known = {option for each in point.load().commands[command].params for option in each.opts}
    assert "--config" in known
    assert options[0] == "--config"
    assert Path(options[1]).name == f"{SETTINGS.get(kind, kind)}.toml"
    if "ExecStartPre" in service:
        assert service["ExecStartPre"] == f"{service['ExecStart']} --check"
        assert "--check" in known


def test_what_all_have_in_common_is_confinement() -> None:
    """The drop-in is where systemd looks for it, and a daemon can write nowhere but in its own folder."""
    common = read(SYSTEMD / "mixmint-.service.d" / "common.conf")["Service"]
    assert common["ProtectSystem"] == "strict"
    assert common["ReadWritePaths"] == common["WorkingDirectory"] == "/var/lib/mixmint/%i"
    assert (common["NoNewPrivileges"], common["CapabilityBoundingSet"]) == ("yes", "")


DASHBOARD = SYSTEMD.parent / "grafana" / "mixmint.json"
METRIC = re.compile(r"mixmint_[a-z_]+")
MADE = re.compile(r'(Counter|Gauge|Histogram)\(\s*f?"(mixmint_[a-z_{}]+)"')


def test_the_dashboard_shows_metrics_that_there_are() -> None:
    """Each name in a query is one that a daemon gives: Prometheus adds _total to the names of counters."""
    root, known = SYSTEMD.parents[1], {"mixmint_directory_{name}"}
    for floor in ("mix", "replyblocks", "bank", "wallet"):
        for path in (root / floor).rglob("*.py"):
            for kind, name in MADE.findall(path.read_text()):
                known.add(f"{name}_total" if kind == "Counter" else name)
    panels = json.loads(DASHBOARD.read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    asked = {name for query in queries for name in METRIC.findall(query)}
    assert len(asked) > 15
    # The authority puts its gauges' names together.
    assert {re.sub("directory_.*", "directory_{name}", name) for name in asked} <= known
