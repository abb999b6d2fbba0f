"""A loop that fails stops its daemon, and says why."""

import asyncio
import signal

import pytest

from mix.background import Background
from mixmint.errors import FatalError


@pytest.mark.parametrize(("error", "traceback"), [(FatalError("disk full"), False), (KeyError("oops"), True)])
async def test_only_a_defect_is_logged_with_a_traceback(
    error: Exception, traceback: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk isn't a defect: one line. Either way the daemon is told to stop, and its exit says why."""
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)

    async def fail() -> None:
        raise error

    async def run() -> None:
        async with Background() as background:
            background.start(fail())
            await asyncio.sleep(0.05)

    with pytest.raises(FatalError):
        await run()
    assert raised == [signal.SIGTERM]
    assert ("Traceback" in caplog.text) is traceback
