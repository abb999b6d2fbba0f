"""People at their terminals: every step is the real command in a process of its own."""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mix.directory import load_network
from mixmint.demo.processes import DaemonSpec, Processes

ENOUGH_S = 180


@dataclass
class Place:
    """A running network."""

    folder: Path
    processes: Processes
    specs: dict[str, DaemonSpec]

    @property
    def board_url(self) -> str:
        """Where the board is."""
        return load_network(self.folder / "network.toml", time.time()).service("board").url

    def wait_for_requests(self, count: int) -> None:
        """Until the bank has answered so many exchanges since it started."""
        self._wait(lambda: self._counted("bank", 'mixmint_bank_answers_total{kind="certificates"}') >= count)

    def wait_for_change(self, public: str) -> None:
        """Until the board shows that this key (hexadecimal) is the bank's."""

        def is_public() -> bool:
            with urllib.request.urlopen(f"{self.board_url}/api/v1/bank", timeout=5) as reply:
                return bytes.fromhex(public) in reply.read()

        self._wait(is_public)

    def _counted(self, name: str, metric: str) -> float:
        url = f"http://127.0.0.1:{self.specs[name].operations_port}/metrics"
        with urllib.request.urlopen(url, timeout=5) as reply:
            lines = [line.rsplit(" ", 1) for line in reply.read().decode().splitlines()]
        return next((float(line[1]) for line in lines if line[0] == metric), 0.0)

    @staticmethod
    def _wait(until: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + ENOUGH_S
        while not until():
            assert time.monotonic() < give_up_s
            time.sleep(0.05)

    def person(self, name: str, gateway: str, units: int = 0) -> "Person":
        """Somebody with a wallet, and an account of ``units``."""
        made = Person(self, self.folder / name)
        words = ("init", "--network", str(self.folder / "network.toml"), "--gateway", gateway)
        made.account = made.json(*words)["account"]
        if units:
            config = ("--config", str(self.folder / "bank" / "bank.toml"))
            run("bank", "account", "open", *config, made.account)
            run("bank", "account", "credit", *config, made.account, str(units))
        return made


def run(*words: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """``mixmint ...``, with the exit code it must have."""
    done = attempt(*words, stdin=stdin)
    assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
    return done


def attempt(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """``mixmint ...``, whatever it ends with, but never with a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "mixmint", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=ENOUGH_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


@dataclass
class Person:
    """A member's home."""

    place: Place
    home: Path
    account: str = ""

    def run(self, *words: str, code: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """``mixmint wallet ...``"""
        return run("wallet", *words, "--home", str(self.home), code=code, stdin=stdin)

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        return attempt("wallet", *words, "--home", str(self.home))

    def json(self, *words: str, code: int = 0, stdin: str = "") -> Any:
        return json.loads(self.run(*words, "--json", code=code, stdin=stdin).stdout)

    @property
    def free(self) -> int:
        return int(self.json("balance")["free"])
