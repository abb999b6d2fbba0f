"""
Builds verifier/main.go against the log code of the installed Go toolchain.

The toolchain carries golang.org/x/mod/sumdb among its own dependencies; it is copied into a module of its own
beside our program, so nothing is fetched and nobody else's code is kept here.
"""

import asyncio
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "verifier" / "main.go"
_BUILD_S = 300
_RUN_S = 60


class NoGo(Exception):
    """There is no toolchain to build with; the text says what to install."""


@dataclass(frozen=True)
class Verdict:
    """How the verifier ended: exit code, the checkpoint that it verified, what it complained of."""

    code: int
    checkpoint: bytes
    complaint: str


@dataclass(frozen=True)
class Verifier:
    """The built program."""

    program: Path

    async def run(self, url: str, key: str, *old: Path) -> Verdict:
        """Verify the log behind a URL; with older checkpoints, in files, also its growth."""
        process = await asyncio.create_subprocess_exec(
            self.program, url, key, *old, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            out, complaint = await asyncio.wait_for(process.communicate(), _RUN_S)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return Verdict(process.returncode, out, complaint.decode().strip())


def build(folder: Path, cache: Path) -> Verifier:
    """
    Build in ``folder``; ``cache`` may be kept for the next time.

    Raises NoGo.
    """
    go = shutil.which("go")
    if go is None:
        raise NoGo("Go is missing: run scripts/setup.sh browser, or on Debian: apt-get install golang-go")
    # What the caller has in his own settings or environment mustn't reach the network.
    environment = {
        **{
            name: value for name, value in os.environ.items() if not name.startswith("GO") or name == "GOROOT"
        },
        "CGO_ENABLED": "0",
        "GOCACHE": str(cache),
        "GOENV": "off",
        "GOFLAGS": "-mod=mod",
        "GOPATH": str(folder / "path"),
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            [go, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=_BUILD_S
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    vendored = Path(run("env", "GOROOT")) / "src" / "cmd" / "vendor" / "golang.org" / "x"
    language = re.match(r"go(\d+\.\d+)", run("env", "GOVERSION"))
    if language is None or not (vendored / "mod" / "sumdb" / "tlog").is_dir():
        raise NoGo(
            f"{vendored}/mod/sumdb is missing: this Go comes without its sources; install Debian's golang-go"
        )
    shutil.copy(SOURCE, folder)
    module = ["module verifier", f"go {language[1]}"]
    # Older toolchains' note package has Ed25519 from golang.org/x/crypto.
    for name, packages in (("mod", ("sumdb/note", "sumdb/tlog")), ("crypto", ("ed25519",))):
        if not all((vendored / name / package).is_dir() for package in packages):
            continue
        for package in packages:
            shutil.copytree(vendored / name / package, folder / name / package)
        (folder / name / "go.mod").write_text(f"module golang.org/x/{name}\n\ngo {language[1]}\n")
        module.append(f"require golang.org/x/{name} v0.0.0")
        module.append(f"replace golang.org/x/{name} => ./{name}")
    (folder / "go.mod").write_text("\n\n".join(module) + "\n")
    run("build", "-o", "verifier", ".")
    return Verifier(folder / "verifier")
