"""A node's folder as ``init`` makes it, with epochs of a minute, and its rotation."""

from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from mix.directory import Directory
from mix.epochs.descriptor import OwnDescriptor
from mix.epochs.keyring import Keyring, key_ids, read_keys
from mix.epochs.renewal import Renewal
from mix.epochs.rotation import Rotation, Taker
from mix.init import NodePlan, create_node
from mix.keys import filter_path
from mix.replay import ReplayFilter
from tests.unit.mix.networks import NOW_S, make_network

EPOCH_S = 60
EPOCH = NOW_S // EPOCH_S
NETWORK = make_network()


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Folder:
    """m1's folder. ``now_s`` is its clock; ``crash_at``: the step of the keyring at which it is killed."""

    path: Path
    now_s: float = NOW_S
    crash_at: str = ""
    ahead_s: float = 0.0
    takers: list[Taker] = field(default_factory=list)
    replay: ReplayFilter | None = None

    def make(self) -> None:
        create_node(self.path, NodePlan("m1", "mix", "127.0.0.1", 7001, 9001, epoch_s=EPOCH_S), self.now_s)

    def start(self) -> Rotation:
        """As the daemon does; the process before is dead."""
        self.stop()
        keys = read_keys(self.path / "keys")
        self.replay = ReplayFilter(filter_path(self.path / "state"), key_ids(keys), 1000)
        self.keyring = Keyring(self.path / "keys", keys, self.replay, self.step)
        self.descriptor = OwnDescriptor(self.path / "descriptor", self.path / "identity.key", "m1")
        self.renewal = Renewal(self.path / "link.crt", self.path / "link.key", "m1")
        return Rotation(
            *(self.keyring, self.descriptor, self.renewal, self.takers),
            now_s=lambda: self.now_s,
            clock_ahead_s=lambda: self.ahead_s,
        )

    def stop(self) -> None:
        if self.replay is not None:
            self.replay.close()
            self.replay = None

    def step(self, name: str) -> None:
        if name == self.crash_at:
            raise Crash

    def on_disk(self) -> set[int]:
        return {int(path.stem.removeprefix("sphinx-")) for path in (self.path / "keys").glob("*.key")}

    def listed(self) -> list[int]:
        return [key.epoch for key in self.descriptor.node.sphinx_keys]

    def directory(self, epoch: int) -> Directory:
        """A directory of this epoch that lists what our descriptor says."""
        others = tuple(node for node in NETWORK.directory.nodes if node.name != "m1")
        node = OwnDescriptor(self.path / "descriptor", self.path / "identity.key", "m1").node
        return replace(NETWORK.directory, epoch=epoch, epoch_s=EPOCH_S, nodes=(node, *others))
