"""What an operator gets wrong: one clear line, exit code 1, nothing half done."""

import asyncio
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mix.node import check_mix
from mixmint.errors import UserError
from tests.integration.network.harness import HOST, Network, build_directory, make_network, mixmint


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return make_network(tmp_path_factory.mktemp("template"))


@pytest.fixture
def network(template: Network, tmp_path: Path) -> Network:
    """A copy, to be spoilt."""
    return template.copied(tmp_path / "network")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def world_readable(network: Network) -> None:
    next((network.folder / "m1" / "keys").iterdir()).chmod(0o644)


def no_sphinx_key(network: Network) -> None:
    for path in (network.folder / "m1" / "keys").iterdir():
        path.unlink()


def other_key(network: Network) -> None:
    for path in (network.folder / "m1" / "keys").iterdir():
        path.write_bytes(os.urandom(32))


def other_certificate(network: Network) -> None:
    (network.folder / "m1" / "link.crt").write_bytes((network.folder / "m2" / "link.crt").read_bytes())


MISTAKES: dict[str, tuple[Callable[[Network], object], str]] = {
    "no settings": (lambda n: n.daemons["m1"].config.unlink(), "an init command writes one"),
    "typing error": (
        lambda n: edit(n.daemons["m1"].config, "link_port", "link_prot"),
        "unknown setting 'link_prot'; did you mean 'link_port'",
    ),
    "wrong type": (lambda n: edit(n.daemons["m1"].config, 'name = "m1"', "name = 1"), "expected str"),
    "other name": (lambda n: edit(n.daemons["m1"].config, '"m1"', '"m9"'), "no node 'm9'"),
    "a gateway's name": (
        lambda n: edit(n.daemons["m1"].config, '"m1"', '"g1"'),
        "g1 is a gateway, not a mix",
    ),
    "no network file": (lambda n: n.network_file.unlink(), "network.toml is missing"),
    "no directory": (lambda n: (n.folder / "directory").unlink(), "can't read the directory"),
    "broken directory": (lambda n: (n.folder / "directory").write_bytes(b"x"), "is refused (encoding)"),
    "world-readable key": (world_readable, "run: chmod 600"),
    "no key": (no_sphinx_key, "is missing; restore it, or make new ones"),
    "other key": (other_key, "isn't the key that the directory lists"),
    "no link key": (lambda n: (n.folder / "m1" / "link.key").unlink(), "link.key is missing"),
    "other certificate": (other_certificate, "another certificate for m1"),
    "no replay filter": (
        lambda n: shutil.rmtree(n.folder / "m1/state/replay"),
        "its keys can't be used any more",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_clear_line(name: str, network: Network) -> None:
    """No traceback; nothing is made in the place of what is missing; and --check finds it too."""
    make, message = MISTAKES[name]
    make(network)
    before = sorted(network.folder.rglob("*"))
    config = network.daemons["m1"].config
    done = mixmint("mix", "run", "--config", config, check=False)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 1, done
    assert message in lines[-1], done
    assert "Traceback" not in done.stderr
    assert sorted(network.folder.rglob("*")) == before
    with pytest.raises(UserError, match=re.escape(message)):
        check_mix(config, time.time())


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        yield other.getsockname()[1]


@pytest.mark.parametrize("which", ["link_port", "operations_port", "client_port"])
def test_a_used_port_is_named(which: str, network: Network, taken_port: int) -> None:
    """Of each of a gateway's sockets."""
    daemon = network.daemons["g1"]
    edit(daemon.config, f"{which} = {getattr(daemon, which)}", f"{which} = {taken_port}")
    done = mixmint("gateway", "run", "--config", daemon.config, check=False)
    assert done.returncode == 1
    assert f"port 127.0.0.1:{taken_port} is in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_gateway_without_its_database_does_not_start(network: Network) -> None:
    """An empty new one would hide that mailboxes were lost."""
    (network.folder / "g1" / "state" / "gateway.db").unlink()
    done = mixmint("gateway", "run", "--config", network.daemons["g1"].config, check=False)
    assert done.returncode == 1
    assert "gateway.db is missing" in done.stderr


def test_init_overwrites_nothing(network: Network) -> None:
    """A key that is lost can't be made again."""
    before = {path: path.read_bytes() for path in network.folder.rglob("*") if path.is_file()}
    words = ("--name", "m1", "--host", HOST, "--link-port", 1, "--operations-port", 2)
    done = mixmint("mix", "init", network.folder / "m1", *words, check=False)
    assert done.returncode == 1
    assert "isn't empty" in done.stderr
    done = mixmint("directory", "authority", network.folder / "authority.key", check=False)
    assert "exists already" in done.stderr
    assert {path: path.read_bytes() for path in network.folder.rglob("*") if path.is_file()} == before


def test_keys_are_for_their_owner_only(network: Network) -> None:
    """Secrets 0600; what is public is public."""
    for name in ("identity.key", "link.key"):
        assert (network.folder / "m1" / name).stat().st_mode & 0o777 == 0o600
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (network.folder / "m1" / "keys").iterdir())


def test_check_prints_what_would_run(network: Network) -> None:
    """Settings as they would be used, and the node's place in the network."""
    done = mixmint("mix", "run", "--config", network.daemons["m2"].config, "--check")
    assert "capacity_packets = 65536" in done.stdout
    assert "frames from m1; frames to m3" in done.stdout
    done = mixmint("gateway", "run", "--config", network.daemons["g1"].config, "--check")
    assert "frames from m3; frames to m1" in done.stdout


def test_a_directory_follows_its_previous_one(network: Network, tmp_path: Path) -> None:
    """Sequence and hash; and the file is replaced in one step."""
    folder = network.folder
    first = (folder / "directory").read_bytes()
    (tmp_path / "first").write_bytes(first)
    words = [folder / name / "descriptor" for name in network.daemons]
    mixmint(
        *("directory", "build", "--out", folder / "directory", "--cascade", "m1,m2,m3"),
        *("--authority-key", folder / "authority.key", "--previous", tmp_path / "first", *words),
    )
    shown = mixmint("directory", "show", folder / "directory").stdout
    assert "sequence: 1" in shown
    assert (folder / "directory").read_bytes() != first


def test_sending_at_once_must_be_meant(network: Network) -> None:
    """A tick of 0 hides nothing, so it takes a second word that says so."""
    folder = network.folder
    done = mixmint(
        *("directory", "build", "--out", folder / "d", "--cascade", "m1,m2,m3", "--tick-ms", 0),
        *("--authority-key", folder / "authority.key", folder / "m1/descriptor"),
        check=False,
    )
    assert done.returncode == 2
    assert "--unsafe-send-at-once" in done.stderr
    build_directory(network, tick_ms=0)


@pytest.mark.parametrize("group", ["mix", "gateway", "directory"])
def test_every_command_has_an_example(group: str) -> None:
    """Help that can't be copied from isn't help."""
    listed = mixmint(group, "--help").stdout.split("Commands:")[1]
    for line in listed.strip().splitlines():
        text = mixmint(group, line.split()[0], "--help").stdout
        assert f"Example:\n    mixmint {group} " in text, text


GARBAGE = {
    "zeros": bytes(5000),
    "random": os.urandom(5000),
    "tls-alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "http": b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "huge-line": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "nothing": b"",
}


async def test_hostile_bytes_leave_all_daemons_alive(network: Network) -> None:
    """At each listening socket of a mix and a gateway: no traceback, still healthy, refusals counted."""
    names = ("m1", "g1")
    try:
        await network.start(*names)
        for name in names:
            daemon = network.daemons[name]
            ports = [port for port in (daemon.link_port, daemon.client_port, daemon.operations_port) if port]
            for port in ports:
                for sent in GARBAGE.values():
                    reader, writer = await asyncio.open_connection(HOST, port)
                    writer.write(sent)
                    # Silence, an answer or a reset: whatever it is, it says nothing.
                    with suppress(ConnectionError):
                        if sent:
                            answer = await asyncio.wait_for(reader.read(), 15)
                            assert b"Traceback" not in answer
                    writer.close()
            await daemon.ready()
            metrics = await asyncio.to_thread(daemon.metrics)
            assert metrics['mixmint_refused_total{reason="handshake",socket="link"}'] >= 3
            assert "Traceback" not in daemon.text_of_log()
            assert await asyncio.to_thread(daemon.stop) == 0
    finally:
        network.kill()
