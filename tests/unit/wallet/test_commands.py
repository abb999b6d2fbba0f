"""The command line without a network: usage, exit codes, one line that says what is wrong."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import click
import pytest
from click.testing import CliRunner

from bank.formats.order import SPEND_LABEL
from mixmint.errors import PendingError, Unavailable, UserError
from mixmint.keys import SigningKey
from wallet.agent.run import Once
from wallet.cashier import Cashier
from wallet.commands import wallet
from wallet.commands.churning import Span
from wallet.commands.looking import remark
from wallet.commands.running import look, sentence
from wallet.commands.setup import resume
from wallet.payment_request import PREFIX
from wallet.settings import WalletSettings
from wallet.teller import Teller, nothing

NAMED = (
    "init",
    "balance",
    "coins",
    "withdraw",
    "exchange",
    "request",
    "pay",
    "receive",
    "deposit",
    "history",
    "resume",
)


def mixmint(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The command as a person runs it."""
    return subprocess.run(
        [sys.executable, "-m", "mixmint", "wallet", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def proof(*, good: bool = True) -> dict[str, str]:
    key, seal = SigningKey.generate(), b"\x05" * 32
    signature = key.sign(SPEND_LABEL, seal if good else bytes(32))
    return {"coin_key": key.public.hex(), "seal": seal.hex(), "signature": signature.hex()}


def test_every_command_is_there_with_help_and_example() -> None:
    """The names are an interface."""
    assert set(NAMED) <= set(wallet.commands)
    for name, command in wallet.commands.items():
        help_text = CliRunner().invoke(wallet, [name, "--help"]).output
        assert "Example: mixmint wallet" in help_text, name
        names = {parameter.name for parameter in command.params}
        assert "as_json" in names, name
        assert "home" in names or name == "verify-proof", name


def test_no_option_takes_money_or_secrets() -> None:
    """Requests, coins and passphrases come from files or standard input: argv is seen by every process."""
    for name, command in wallet.commands.items():
        for parameter in command.params:
            kinds = (click.Path, click.IntRange, click.types.BoolParamType, Span)
            plain = parameter.name in ("gateway", "board")
            assert isinstance(parameter.type, kinds) or plain, (name, parameter.name)


@pytest.mark.parametrize(
    "words",
    [
        ("withdraw",),
        ("withdraw", "0"),
        ("withdraw", "-5"),
        ("withdraw", "1.5"),
        ("pay", "--bearer", "5"),
        ("pay", "--bearer", "5", "--out", "x", "--file", "y"),
        ("pay", "--bearer", "5", "--out", "x", "--sealed"),
        ("request", "5", "--qr", "x.gif"),
        ("prove", "5"),
        ("capture",),
        ("receive",),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_code_2(words: tuple[str, ...]) -> None:
    """Before anything is opened."""
    assert mixmint(*words).returncode == 2


@pytest.mark.parametrize(
    ("words", "stdin", "says"),
    [
        (("balance",), "", "wallet init"),
        (("init",), "", "--network FILE"),
        (("pay",), "hello", PREFIX),
        (("pay",), PREFIX + "AAAA", "copy it again"),
        (("pay", "--file", "no-such-file"), "", "no file"),
        (("receive", "-"), "hello", "mixmint bearer coins v1"),
        (("receive", "no-such-file"), "", "no file"),
        (("verify-proof", "-"), "{}", "no proof"),
        (("check-proof", "-"), "{}", "no proof"),
        (("check-proof", "-"), '{"what": "mixmint payment receipt v1"}', "no payment receipt"),
        (("receive", "-"), "mixmint payment notice v1", "member"),
    ],
)
def test_what_can_be_mended_is_one_line_and_exit_code_1(
    tmp_path: Path, words: tuple[str, ...], stdin: str, says: str
) -> None:
    """No traceback; what is wrong, and the next step."""
    home = () if words[0] == "verify-proof" else ("--home", str(tmp_path / "none"))
    done = mixmint(*words, *home, stdin=stdin)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1
    assert says in lines[0]
    assert lines[0].startswith("mixmint: ")


def test_proof_is_checked_offline(tmp_path: Path) -> None:
    """One proof, or the list that `receive --json` prints; exit code 1 when one doesn't hold."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(json.dumps({"state": "refused", "proofs": [proof(), proof()]}))
    bad.write_text(json.dumps({"proofs": [proof(), proof(good=False)]}))
    assert mixmint("verify-proof", str(good)).returncode == 0
    done = mixmint("verify-proof", str(bad), "--json")
    assert done.returncode == 1
    assert [each["holds"] for each in json.loads(done.stdout)["proofs"]] == [True, False]
    assert mixmint("verify-proof", "-", stdin=json.dumps(proof())).returncode == 0


def test_proof_that_names_another_coin_is_refused(tmp_path: Path) -> None:
    """The coin's id is the hash of its key."""
    from wallet.proof import read_proofs

    with pytest.raises(UserError, match="another coin"):
        read_proofs(json.dumps(proof() | {"coin": "00" * 32}).encode())


@pytest.mark.parametrize(("open_ones", "error"), [(True, PendingError), (False, Unavailable)])
def test_resume_without_the_board_is_exit_code_3_while_something_is_open(
    open_ones: bool, error: type[UserError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 1 says that nothing happened; of an open operation that isn't known."""
    cashier = Mock(resume=AsyncMock(side_effect=Unavailable("no board")), undecided=lambda: open_ones)
    monkeypatch.setattr("wallet.commands.setup.open_and", lambda _, work, **__: asyncio.run(work(cashier)))
    with pytest.raises(UserError, match="no board") as raised:
        resume.main([], standalone_mode=False)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("settled", "withdraw of 4 units settled in round 7"),
        ("paid", "withdraw of 4 units paid, settled in round 7"),
    ],
)
def test_an_outcome_is_said_once(state: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a person reads after ``resume``."""
    view = {"kind": "withdraw", "amount": 4, "state": state, "round": 7}
    monkeypatch.setattr("wallet.views.outcome", lambda *_: view)
    assert sentence(Mock(), Mock()) == told


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"kind": "request", "refunded": 4, "note": "rent"}, "4 paid back; rent"),
        ({"kind": "request", "refunded": 0, "note": "rent"}, "rent"),
        ({"kind": "pay", "refunds": 21, "note": ""}, "pays back 21"),
        ({"kind": "receive", "meaning": "a coin had been spent already"}, "a coin had been spent already"),
    ],
)
def test_history_shows_a_refund_and_its_request_by_each_other(row: dict[str, object], told: str) -> None:
    """Who paid back what can be read without a program."""
    assert remark(row) == told


def test_what_must_be_known_is_said_by_commands_that_only_look(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once, by whoever reads it first; how work goes on isn't said by them."""

    @asynccontextmanager
    async def opened(_: Path, tell: Callable[[str], None] = nothing, **more: Any) -> AsyncIterator[Mock]:
        teller = Teller(
            Mock(), Mock(), Mock(), WalletSettings(), answer_wait_s=1, now_s=time.time, tell=tell, **more
        )
        teller.claims = Mock()
        yield Mock(resume=AsyncMock(return_value=[]), teller=teller)

    async def claims(cashier: Cashier) -> None:
        cashier.teller.make_claim(7)

    monkeypatch.setattr("wallet.session.open_wallet", opened)
    look(Path(), claims)
    assert "so its request goes on the board as a claim" in capsys.readouterr().err


def test_the_agent_says_a_thing_once() -> None:
    """Each of its steps opens the wallet anew."""
    said: list[str] = []
    once = Once(said.append)
    for line in ("a claim", "a claim", "another", "a claim"):
        once(line)
    assert said == ["a claim", "another"]
