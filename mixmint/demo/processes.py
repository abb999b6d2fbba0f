"""Daemons as child processes: start, wait until they are healthy, stop by their ids."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixmint.errors import UserError

START_WITHIN_S = 30.0
STOP_WITHIN_S = 8.0


@dataclass(frozen=True)
class DaemonSpec:
    """How one daemon is started: its command group, its settings file, its operations port."""

    name: str
    group: str
    settings: Path
    operations_port: int

    @property
    def command(self) -> list[str]:
        return [sys.executable, "-m", "mixmint", self.group, "run", "--config", str(self.settings)]


@dataclass
class Processes:
    """The running daemons of one network folder; logs go to ``logs/NAME.log``."""

    folder: Path
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, specs: Sequence[DaemonSpec]) -> None:
        """
        Start daemons and wait until each is healthy.

        Raises UserError with the last line of the log of one that stopped or doesn't get ready.
        """
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        for spec in specs:
            with (logs / f"{spec.name}.log").open("ab") as log:
                self._running[spec.name] = subprocess.Popen(
                    spec.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        deadline = time.monotonic() + START_WITHIN_S
        for spec in specs:
            self._wait(spec, deadline)

    def _wait(self, spec: DaemonSpec, deadline: float) -> None:
        while not is_healthy(spec.operations_port):
            stopped = self._running[spec.name].poll() is not None
            if stopped or time.monotonic() > deadline:
                log = self.folder / "logs" / f"{spec.name}.log"
                lines = log.read_text(errors="replace").strip().splitlines()
                why = lines[-1] if lines else "no output"
                raise UserError(f"{spec.name} {'stopped' if stopped else 'is not ready'}: {why} (see {log})")
            time.sleep(0.05)

    def pid(self, name: str) -> int:
        """The process id of a running daemon."""
        return self._running[name].pid

    def kill(self, name: str) -> None:
        """SIGKILL one daemon, as a crash would, and reap it."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def died(self) -> list[str]:
        """The daemons that have stopped by themselves."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def stop(self) -> list[str]:
        """SIGTERM all, wait, SIGKILL what is left; the names of those that had to be killed."""
        for process in self._running.values():
            process.terminate()
        late = []
        deadline = time.monotonic() + STOP_WITHIN_S
        for name, process in self._running.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                late.append(name)
        self._running.clear()
        return late


def is_healthy(operations_port: int) -> bool:
    """Whether a daemon's ``/healthz`` on loopback says ok."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{operations_port}/healthz", timeout=2) as reply:
            return bool(json.load(reply)["status"] == "ok")
    except (OSError, ValueError, KeyError, urllib.error.URLError):
        return False
