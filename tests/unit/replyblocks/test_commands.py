"""The commands, in this process, over a network in this process."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from mix.directory import Node
from mixmint.cli import CommandGroups
from mixmint.errors import PendingError, Unavailable, UserError
from mixmint.keys import SigningKey
from tests.unit.replyblocks.fake_network import FakeLink, FakeNetwork

HOSTILE = "see \x1b]0;gone\x07 this \u202etxt.exe"


class OpenedLink(FakeLink):
    """In the place of GatewayClient, which is an async context manager."""

    async def __aenter__(self) -> "OpenedLink":
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


class Shell:
    """Runs commands for members of one network."""

    def __init__(self, folder: Path, network: FakeNetwork) -> None:
        self.folder = folder
        self.network = network
        self.network_file = network.write(folder / "network")

    def run(self, name: str, *words: object, text: str | bytes = "") -> Result:
        arguments = [str(word) for word in words]
        if "--help" not in arguments:
            arguments += ["--home", str(self.folder / name)]
        return CliRunner().invoke(CommandGroups(), arguments, input=text)

    def ok(self, name: str, *words: object, text: str = "") -> str:
        done = self.run(name, *words, text=text)
        assert done.exit_code == 0, done.output + repr(done.exception)
        return done.stdout

    def fails(self, kind: type[Exception], name: str, *words: object, text: str | bytes = "") -> str:
        done = self.run(name, *words, text=text)
        assert isinstance(done.exception, kind), done.output + repr(done.exception)
        return str(done.exception)

    def json(self, name: str, *words: object, text: str = "") -> Any:
        return json.loads(self.ok(name, *words, "--json", text=text))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    network = FakeNetwork(now_s=time.time())

    def client(_: Node, owner: SigningKey) -> OpenedLink:
        return OpenedLink(network, owner)

    monkeypatch.setattr("replyblocks.post.GatewayClient", client)
    shell = Shell(tmp_path, network)
    for name in ("alice", "bob"):
        text = shell.ok(name, "address", "--create", "--network", shell.network_file, "--gateway", "g1")
        (tmp_path / f"{name}.address").write_text(text)
    return shell


def test_a_message_and_its_answer(shell: Shell, tmp_path: Path) -> None:
    """Sent, listed, read, answered; hostile characters are never printed."""
    assert "on its way" in shell.ok("alice", "send", tmp_path / "bob.address", text=HOSTILE)
    listing = shell.ok("bob", "inbox")
    reading = shell.ok("bob", "inbox", "read", 1)
    assert "see \\x1b]0;gone\\x07 this \\u202etxt.exe" in reading
    assert not set("\x1b\x07\u202e") & set(listing + reading)
    assert shell.json("bob", "inbox", "read", 1)["text"] == HOSTILE
    shell.ok("bob", "reply", 1, text="fine")
    (answer,) = shell.json("alice", "inbox")["messages"]
    assert (answer["text"], answer["answer_to"], answer["read"]) == ("fine", 1, False)
    assert shell.json("alice", "inbox", "--offline")["messages"][0]["read"]
    assert shell.json("alice", "inbox", "sent")["messages"][0]["state"] == "answered"
    assert "answered" in shell.ok("alice", "inbox", "sent")
    shell.ok("alice", "inbox", "delete", 1)
    assert "no messages" in shell.ok("alice", "inbox")
    assert "no message 1" in shell.fails(UserError, "alice", "inbox", "delete", 1)


def test_a_message_without_a_gateway_is_queued(shell: Shell, tmp_path: Path) -> None:
    """Exit code 3, and the next command sends it; reading works without the network."""
    shell.network.is_down = True
    told = shell.fails(PendingError, "alice", "send", tmp_path / "bob.address", text="later")
    assert "queued" in told
    assert "--offline" in shell.fails(Unavailable, "alice", "inbox")
    assert "no messages" in shell.ok("alice", "inbox", "--offline")
    shell.network.is_down = False
    shell.ok("alice", "inbox")
    assert shell.json("bob", "inbox")["messages"][0]["text"] == "later"


def test_a_message_sent_again_is_delivered_once(shell: Shell, tmp_path: Path) -> None:
    """By number, from the list of what was sent."""
    shell.ok("alice", "send", tmp_path / "bob.address", text="once")
    shell.ok("alice", "send", "--again", 1)
    assert len(shell.json("bob", "inbox")["messages"]) == 1
    assert "no message 7" in shell.fails(UserError, "alice", "send", "--again", 7)


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "empty"), (" \n", "empty"), ("x" * 65537, "longer than"), (b"\xff\xfe", "UTF-8")],
)
def test_texts_that_cannot_be_sent(shell: Shell, tmp_path: Path, text: str | bytes, told: str) -> None:
    """One clear line, and nothing in the outbox."""
    assert told in shell.fails(UserError, "alice", "send", tmp_path / "bob.address", text=text)
    assert shell.json("alice", "inbox", "sent")["messages"] == []


def test_addresses_that_lead_nowhere(shell: Shell, tmp_path: Path) -> None:
    """A typing error, another network's address, no address at all."""
    good = (tmp_path / "bob.address").read_text()
    wrong: list[tuple[str, Callable[[str], bool]]] = [
        (good[:-5] + "\n", lambda told: "copy it again" in told),
        ("bob@example.org", lambda told: "begin with mixmint1" in told),
        ("", lambda told: "begin with mixmint1" in told),
    ]
    for text, is_told in wrong:
        (tmp_path / "wrong.address").write_text(text)
        assert is_told(shell.fails(UserError, "alice", "send", tmp_path / "wrong.address", text="hello"))
    assert shell.run("alice", "send", text="hello").exit_code == 2
    assert shell.run("alice", "address", "--create").exit_code == 2


def test_an_address_that_is_not_open_yet_is_printed_with_a_warning(shell: Shell) -> None:
    """The member is made, and told to try again."""
    shell.network.is_down = True
    done = shell.run("carol", "address", "--create", "--network", shell.network_file, "--gateway", "g2")
    assert done.exit_code == 0
    assert done.stdout.startswith("mixmint1")
    assert "isn't open yet" in done.stderr
    assert "address --create" in shell.fails(UserError, "nobody", "address")


def test_every_command_has_an_example(shell: Shell) -> None:
    """In its --help."""
    for words in ("address", "send", "reply", "inbox", "inbox read", "inbox sent", "inbox delete", "doctor"):
        assert (
            "mixmint " + words.split()[0] in shell.ok("alice", *words.split(), "--help").split("Example")[1]
        )
    assert "Example" in shell.ok("alice", "echo", "init", "--help") + shell.ok(
        "alice", "echo", "run", "--help"
    )
