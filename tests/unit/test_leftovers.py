"""What a killed test run leaves is removed by the next one; what lives, or is somebody else's, is not."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.leftovers import is_left, kill_orphans, sign
from tests.postgres import remove_left

SIGN = "import sys; from pathlib import Path; from tests.leftovers import sign; sign(Path(sys.argv[1]))"


def made_by_a_dead_process(folder: Path) -> Path:
    (folder / "data").mkdir(parents=True)
    subprocess.run([sys.executable, "-c", SIGN, str(folder)], check=True)
    return folder


def test_a_dead_runs_server_is_stopped_and_its_folder_removed(tmp_path: Path) -> None:
    """Any process in that folder stands in for the server."""
    folder = made_by_a_dead_process(tmp_path / "mixmint-pg-dead")
    with subprocess.Popen(["sleep", "60"], cwd=folder / "data") as server:
        (folder / "data" / "postmaster.pid").write_text(f"{server.pid}\n{folder / 'data'}\n")
        remove_left(tmp_path)
        assert server.wait(10) == -signal.SIGQUIT
    assert not folder.exists()


def test_another_process_with_the_servers_number_lives(tmp_path: Path) -> None:
    """Numbers are given again: it is the folder that it works in that tells."""
    folder = made_by_a_dead_process(tmp_path / "mixmint-pg-dead")
    with subprocess.Popen(["sleep", "60"], cwd=tmp_path) as other:
        (folder / "data" / "postmaster.pid").write_text(f"{other.pid}\n")
        remove_left(tmp_path)
        assert not folder.exists()
        assert other.poll() is None
        other.kill()


def test_what_lives_or_is_somebody_elses_stays(tmp_path: Path) -> None:
    """This process's own, one that nobody signed, one from another machine, one with another name."""
    ours, unsigned, elsewhere = (
        tmp_path / f"mixmint-pg-{name}" for name in ("ours", "unsigned", "elsewhere")
    )
    for folder in (ours, unsigned):
        folder.mkdir()
    sign(ours)
    made_by_a_dead_process(elsewhere)
    signed = elsewhere / "made-by"
    signed.write_text("another-" + signed.read_text())
    other = made_by_a_dead_process(tmp_path / "mixmint-other")
    remove_left(tmp_path)
    assert all(folder.exists() for folder in (ours, unsigned, elsewhere, other))
    assert [is_left(folder) for folder in (ours, unsigned, elsewhere, other)] == [False, False, False, True]


PARENT = """
import subprocess, sys
from tests.leftovers import sign_children
sign_children()
print(subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL).pid)
"""


def test_a_process_whose_test_is_gone_is_killed() -> None:
    """One of a test that lives isn't: its signature is this process's."""
    with subprocess.Popen(["sleep", "60"]) as ours:
        begun = subprocess.run([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, check=True, text=True)
        assert int(begun.stdout) in kill_orphans()
        assert ours.poll() is None
        ours.kill()
