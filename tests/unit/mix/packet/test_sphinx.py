"""Importing sphinxmix without pytest."""

import subprocess
import sys


def run(code: str) -> str:
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


def test_daemons_do_not_load_pytest() -> None:
    """Neither pytest nor its stand-in is left behind, and pytest can still be imported."""
    assert run("import sys, mix.packet.build; print('pytest' in sys.modules)") == "False"
    assert run("import mix.packet.build, pytest; print(callable(pytest.raises))") == "True"


def test_a_loaded_pytest_stays() -> None:
    assert run("import pytest, mix.packet.build, sys; print(sys.modules['pytest'] is pytest)") == "True"
