"""The quick start's commands, typed as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
QUICK_START = ROOT / "docs" / "quick-start.md"
REFUSED = "mixmint wallet receive five.txt --json"
EXIT_TRAP = "trap 'for job in $(jobs -p); do kill $job 2> /dev/null; done; wait' EXIT"


def commands(page: Path) -> list[str]:
    """What a reader types: the lines of ``console`` blocks after $ and >, without the set-up of the shell."""
    typed: list[str] = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), flags=re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                typed.append(line[2:])
            elif line.startswith("> "):
                typed[-1] += "\n" + line[2:]
    return [command for command in typed if not command.startswith(("make ", "export PATH"))]


def test_quick_start_works_as_written(tmp_path: Path) -> None:
    """Every command succeeds, but the one that is meant to be refused; and what it promises is there."""
    typed = commands(QUICK_START)
    assert len(typed) > 20
    script = ["set -euo pipefail", EXIT_TRAP]
    for command in typed:
        if command.startswith(REFUSED):
            script += [f"if {command}; then echo 'not refused'; exit 9; fi"]
        else:
            script += [f"echo '+' {command.splitlines()[0]!r}", command]
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a coin had been spent already" in done.stderr
    for expected in ("paid 13 units", "received 5", "deposited 8 units", "Meet me at the mill.", "At nine."):
        assert expected in done.stdout, expected


def test_every_command_that_a_page_names_exists() -> None:
    """No page tells a reader to type what isn't there."""
    listed = subprocess.run(
        [sys.executable, "-m", "mixmint", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert "mixmint wallet" in QUICK_START.read_text()
    groups = set(re.findall(r"^  (\w+) ", listed, flags=re.MULTILINE))
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for group in re.findall(r"^\$ mixmint (\w+)", page.read_text(), flags=re.MULTILINE):
            assert group in groups, f"{page.name}: mixmint {group}"
