"""A witness as a process: made, run, killed, stopped, and started with what is wrong."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

import aiohttp
import pytest

from bank.board.accusation.file import check_file
from bank.board.log.note import Note, VerifierKey
from bank.board.log.policy import parse_policy
from bank.board.log.tree import consistency_holds
from bank.board.witness.collector import Collector
from mixmint.errors import FatalError
from tests.ports import free_port
from tests.unit.bank.board.witness.histories import FORKED, LOG, ORIGIN, TRUE, History

START_WITHIN_S = 90.0
MOST_MEMORY_KB = 60_000


def mixmint(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mixmint", *words], capture_output=True, text=True, timeout=180, check=False
    )
    return done.returncode, done.stdout + done.stderr


@dataclass
class WitnessProcess:
    """A folder that `mixmint witness init` made, and the process that runs on it, if any."""

    folder: Path
    port: int = field(default_factory=free_port)
    operations_port: int = field(default_factory=free_port)
    said: str = ""
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        code, self.said = mixmint(
            *("witness", "init", str(self.folder), "--name", "witness.example.org/w1", "--log", LOG.text()),
            *("--host", "127.0.0.1", "--port", str(self.port)),
            *("--operations-port", str(self.operations_port)),
        )
        assert code == 0, self.said

    @property
    def config(self) -> str:
        return str(self.folder / "witness.toml")

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mixmint", "witness", "run", "--config", self.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        give_up = time.monotonic() + START_WITHIN_S
        for port in (self.port, self.operations_port):
            while True:
                with socket.socket() as one:
                    if one.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert self.process.poll() is None, self.log
                assert time.monotonic() < give_up, self.log
                time.sleep(0.02)

    @property
    def resident_kb(self) -> int:
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        (resident,) = [int(line.split()[1]) for line in lines if line.startswith("VmRSS")]
        return resident

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> float:
        """SIGTERM; how long it took, in seconds."""
        assert self.process is not None
        started_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=8) == 0, self.log
        return time.monotonic() - started_s


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[WitnessProcess]:
    made = WitnessProcess(tmp_path / "w1")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


def test_init_makes_a_private_key_and_says_what_others_need(witness: WitnessProcess) -> None:
    """The policy line is ready to be copied; `key` and `--check` say the same key; nothing is overwritten."""
    assert (witness.folder / "witness.key").stat().st_mode & 0o777 == 0o600
    assert (witness.folder / "witness.db").stat().st_mode & 0o777 == 0o600
    (line,) = [line.strip() for line in witness.said.splitlines() if line.strip().startswith("witness ")]
    found = parse_policy(f"{line}\nquorum w1\n").witnesses[0]
    assert (found.name, found.url) == ("w1", f"http://127.0.0.1:{witness.port}")
    code, key = mixmint("witness", "key", "--config", witness.config)
    assert (code, VerifierKey.parse(key.strip())) == (0, found.key)
    code, output = mixmint("witness", "run", "--config", witness.config, "--check")
    assert code == 0
    assert found.key.text() in output
    assert f"cosigns for: {ORIGIN}" in output
    code, output = mixmint(
        *("witness", "init", str(witness.folder), "--name", "w1", "--host", "127.0.0.1"),
        *("--port", "7301", "--operations-port", "9301"),
    )
    assert (code, "isn't empty" in output) == (1, True)


@pytest.mark.parametrize("name", ["", "two words", "w+1", "x" * 256])
def test_init_refuses_a_name_that_no_note_can_carry(tmp_path: Path, name: str) -> None:
    """Found out before anybody has put the key into a policy."""
    code, output = mixmint(
        *("witness", "init", str(tmp_path / "w"), "--name", name, "--host", "127.0.0.1"),
        *("--port", "7301", "--operations-port", "9301"),
    )
    assert code == 1
    assert "can't name a key" in output
    assert not (tmp_path / "w").exists()


async def test_killed_at_random_moments_it_cosigned_one_past(
    witness: WitnessProcess, session: aiohttp.ClientSession
) -> None:
    """kill -9 again and again while two logs, forked at 50 leaves, press it at once: one of them loses."""
    rng = Random(1)
    _, key = mixmint("witness", "key", "--config", witness.config)
    demanded = parse_policy(f"witness w1 {key.strip()} http://127.0.0.1:{witness.port}\nquorum w1\n")
    cosigned: list[tuple[History, int]] = []
    lost: list[History] = []
    over = asyncio.Event()

    async def press(history: History) -> None:
        size = 49
        while not over.is_set():
            collector = Collector(
                demanded, ORIGIN, history.proofs, session, timeout_s=0.5, fail_open=True, now_s=time.time
            )
            try:
                note = await collector.gather(history.note(size), size)
            except FatalError:
                # Another past was first.
                lost.append(history)
                return
            if demanded.cosignatures(note):
                cosigned.append((history, size))
                size = min(size + rng.randint(1, 3), 600)
            await asyncio.sleep(0)

    await asyncio.to_thread(witness.start)
    pressing = [asyncio.create_task(press(history)) for history in (TRUE, FORKED)]
    for _ in range(6):
        await asyncio.sleep(rng.uniform(0.02, 0.15))
        witness.kill()
        await asyncio.to_thread(witness.start)
    over.set()
    await asyncio.gather(*pressing)
    assert len(cosigned) > 20
    beyond = {history for history, size in cosigned if size > 50}
    assert len(beyond) == 1
    sizes = [size for _, size in cosigned]
    # 49 and 50 leaves are the same in both; from there on nothing ever shrank.
    assert [size for size in sizes if size > 50] == sorted(size for size in sizes if size > 50)
    (winner,) = beyond
    assert lost in ([], [FORKED if winner is TRUE else TRUE])
    for old, new in pairwise(sizes):
        if 50 < old < new:
            assert consistency_holds(
                old,
                winner.checkpoint(old).root,
                new,
                winner.checkpoint(new).root,
                winner.proof(old, new),
            )


async def test_it_stops_in_time_stays_small_and_names_nobody(
    witness: WitnessProcess, session: aiohttp.ClientSession
) -> None:
    """SIGTERM with a half request open; memory as on the cheapest server; no access log."""
    await asyncio.to_thread(witness.start)
    url = f"http://127.0.0.1:{witness.port}/add-checkpoint"
    for size in range(1, 200):
        async with session.post(url, data=TRUE.request(size - 1, size)) as response:
            assert response.status == 200
            assert Note.decode(TRUE.note(size).encode() + await response.read())
    for body in (b"secret-bytes", FORKED.request(199, 199), TRUE.request(0, 3)):
        async with session.post(url, data=body) as response:
            assert response.status in {400, 409}
    assert witness.resident_kb < MOST_MEMORY_KB
    async with session.get(f"http://127.0.0.1:{witness.operations_port}/healthz") as response:
        assert (response.status, (await response.json())["status"]) == (200, "ok")
    for path in ("/healthz", "/metrics", "/"):
        async with session.get(f"http://127.0.0.1:{witness.port}{path}") as response:
            assert (response.status, await response.read()) == (400, b"")
    _, writer = await asyncio.open_connection("127.0.0.1", witness.port)
    writer.write(b"POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nold")
    await writer.drain()
    assert await asyncio.to_thread(witness.stop) < 5
    writer.close()
    assert "127.0.0.1" not in witness.log
    assert "secret-bytes" not in witness.log
    assert "Traceback" not in witness.log
    assert "signed two roots" in witness.log


async def test_its_operator_sees_the_logs_and_the_fork(
    witness: WitnessProcess, session: aiohttp.ClientSession
) -> None:
    """With both signed notes, as text and for programs; also while it runs."""
    assert "nothing cosigned yet" in mixmint("witness", "logs", "--config", witness.config)[1]
    await asyncio.to_thread(witness.start)
    url = f"http://127.0.0.1:{witness.port}/add-checkpoint"
    for body in (TRUE.request(0, 60), FORKED.request(60, 60)):
        await (await session.post(url, data=body)).read()
    code, output = await asyncio.to_thread(mixmint, "witness", "logs", "--config", witness.config)
    assert code == 0
    assert f"{ORIGIN}: 60 leaves, cosigned 20" in output
    assert TRUE.note(60).encode().decode() in output
    assert FORKED.note(60).encode().decode() in output
    code, output = await asyncio.to_thread(mixmint, "witness", "logs", "--config", witness.config, "--json")
    (shown,) = json.loads(output)["logs"]
    assert (shown["size"], shown["watched"], len(shown["forks"])) == (60, True, 1)
    assert shown["forks"][0]["refused"] == FORKED.note(60).encode().decode()


async def test_a_fork_becomes_a_file_that_convicts_the_log(
    witness: WitnessProcess, session: aiohttp.ClientSession
) -> None:
    """Checked offline, by the log's two signatures alone; written once."""
    await asyncio.to_thread(witness.start)
    url = f"http://127.0.0.1:{witness.port}/add-checkpoint"
    for body in (TRUE.request(0, 60), FORKED.request(60, 60), FORKED.request(60, 90)):
        await (await session.post(url, data=body)).read()
    words = ("witness", "accuse", str(witness.folder / "forks"), "--config", witness.config)
    code, output = await asyncio.to_thread(mixmint, *words)
    (path,) = output.splitlines()
    assert code == 0
    verdict = check_file(await asyncio.to_thread(Path(path).read_bytes))
    assert verdict.holds
    assert verdict.whom.board == LOG
    code, output = await asyncio.to_thread(mixmint, *words)
    assert (code, "nothing new" in output) == (0, True)


def _change(old: str, new: str):
    def change(witness: WitnessProcess) -> None:
        path = witness.folder / "witness.toml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return change


def _other_key(witness: WitnessProcess) -> None:
    key = witness.folder / "witness.key"
    key.write_bytes(os.urandom(32))


WRONG = {
    "an unknown setting": (_change("operations_port", "operation_port"), "did you mean 'operations_port'?"),
    "a name that is none": (_change("witness.example.org/w1", "w 1"), "can't name a key"),
    "a log's key mistyped": (_change(LOG.text(), LOG.text()[:-1]), "no verifier key"),
    "a prefix that is none": (_change("\nport =", '\nprefix = "w1"\nport ='), "prefix"),
    "no key": (lambda witness: (witness.folder / "witness.key").unlink(), "is missing"),
    "a key that all can read": (
        lambda witness: (witness.folder / "witness.key").chmod(0o644),
        "run: chmod 600",
    ),
    "no memory": (lambda witness: (witness.folder / "witness.db").unlink(), "must not go on"),
    "another's memory": (_other_key, "another key"),
    "a damaged memory": (
        lambda witness: (witness.folder / "witness.db").write_bytes(b"x" * 8192),
        "is damaged",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_one_line_with_the_next_step(witness: WitnessProcess, what: str) -> None:
    """Exit code 1, nothing but that line, and nothing is made in its place."""
    change, text = WRONG[what]
    change(witness)
    code, output = mixmint("witness", "run", "--config", witness.config)
    lines = [line for line in output.splitlines() if " INFO " not in line]
    assert code == 1
    assert len(lines) == 1, output
    assert lines[0].startswith("mixmint: ")
    assert text in lines[0]
