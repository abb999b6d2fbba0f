"""A successor's endpoint: made, handed in, in the next directory; and nobody else's by that way."""

import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from bank.commands import bank
from bank.settings import BankSettings
from mix.commands import directory, gateway, mix
from mix.directory import Service, load_network
from mixmint.errors import UserError
from mixmint.keys import BoxKey, SigningKey, read_secret
from mixmint.settings import load

HOST = ("--host", "127.0.0.1")


def run(group: object, *words: object) -> str:
    result = CliRunner().invoke(group, [str(word) for word in words], standalone_mode=False)  # type: ignore[arg-type]  # a group
    if result.exception:
        raise result.exception
    return result.output


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Three mixes, two gateways and a bank, in a directory that one authority signed."""
    for number, name in enumerate(("m1", "m2", "m3", "g1", "g2")):
        ports = ("--link-port", 7000 + number, "--operations-port", 9000 + number)
        if name[0] == "m":
            run(mix, "init", tmp_path / name, "--name", name, *HOST, *ports)
        else:
            run(
                gateway,
                "init",
                tmp_path / name,
                "--name",
                name,
                *HOST,
                *ports,
                "--client-port",
                7100 + number,
            )
    run(bank, "init", tmp_path / "bank", "--gateway", "g1", *HOST, "--port", 7201, "--operations-port", 9201)
    run(directory, "authority", tmp_path / "authority.key")
    build(tmp_path, "first", tmp_path / "bank/descriptor", "--network-file", tmp_path / "network.toml")
    return tmp_path


def build(folder: Path, name: str, bank_descriptor: Path, *more: object) -> None:
    nodes = [folder / node / "descriptor" for node in ("m1", "m2", "m3", "g1", "g2")]
    words = ("--cascade", "m1,m2,m3", "--authority-key", folder / "authority.key", *more)
    run(directory, "build", "--out", folder / name, *words, *nodes, bank_descriptor)


def successor(folder: Path) -> str:
    """The new bank's folder: the old one's settings, a new key, no endpoint key; the new public key."""
    made = folder / "newbank"
    made.mkdir()
    (made / "bank.toml").write_text((folder / "bank/bank.toml").read_text())
    return run(bank, "change", "key", made / "bank.key").strip()


def entry(folder: Path, name: str) -> Service:
    (folder / "network.toml").write_text(
        (folder / "network.toml").read_text().replace('"first"', f'"{name}"')
    )
    return load_network(folder / "network.toml", time.time()).service("bank")


def test_a_successor_without_the_old_endpoint_key_is_reached_by_the_next_directory(network: Path) -> None:
    """Who the bank is stays; where it is reached is new, and only he can open what comes there."""
    old, public = load_network(network / "network.toml", time.time()).service("bank"), successor(network)
    words = ("--network", network / "network.toml", "--gateway", "g2", "--url", "https://new.example.org")
    told = run(bank, "change", "descriptor", network / "newbank", *words)
    assert f"--successor bank={public}" in told
    again = ("--previous", network / "first", "--successor", f"bank={public}")
    build(network, "second", network / "newbank/descriptor", *again)
    new = entry(network, "second")
    assert (new.name, new.kind, new.identity) == (old.name, old.kind, old.identity)
    assert (new.gateway, new.url) == ("g2", "https://new.example.org")
    assert new.token != old.token
    box = BoxKey(read_secret(load(network / "newbank/bank.toml", BankSettings).endpoint_key_path, 32))
    assert new.endpoint_public == box.public != old.endpoint_public


def test_who_has_the_endpoint_key_keeps_the_address(network: Path) -> None:
    """The descriptor says then what the directory says already, but for the URL."""
    old = load_network(network / "network.toml", time.time()).service("bank")
    successor(network)
    (network / "bank/endpoint.key").rename(network / "newbank/endpoint.key")
    words = ("--network", network / "network.toml", "--url", "https://new.example.org")
    told = run(bank, "change", "descriptor", network / "newbank", *words)
    public = told.split("bank=")[1].strip()
    again = ("--previous", network / "first", "--successor", f"bank={public}")
    build(network, "second", network / "newbank/descriptor", *again)
    new = entry(network, "second")
    assert (new.token, new.endpoint_public, new.owner) == (old.token, old.endpoint_public, old.owner)
    with pytest.raises(UserError, match="move it away"):
        run(bank, "change", "descriptor", network / "newbank", *words)


def test_nobody_is_a_successor_but_by_the_authorities_word(network: Path) -> None:
    """Without the option, with another key, without the directory before, or as another bank."""
    public = successor(network)
    run(bank, "change", "descriptor", network / "newbank", "--network", network / "network.toml")
    mine, before = network / "newbank/descriptor", ("--previous", network / "first")
    stranger = SigningKey.generate().public.hex()
    for more, said in (
        (before, "is no good descriptor"),
        ((*before, "--successor", f"bank={stranger}"), "is no good descriptor"),
        (("--successor", f"bank={public}"), "as the --previous directory does"),
        ((*before, "--successor", f"bank={public}", "--successor", f"other={public}"), "--successor other"),
    ):
        with pytest.raises(UserError, match=said):
            build(network, "second", mine, *more)
    assert not (network / "second").exists()
