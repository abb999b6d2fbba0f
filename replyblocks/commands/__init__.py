"""
The commands of this floor: address, send, inbox, reply, doctor, echo.

Each is imported when it is asked for: other floors use only `options`, and shouldn't wait for the rest. No
module here is called like a command, or importing it would put the module in the command's place.
"""

from importlib import import_module
from typing import Any

_PLACES = {
    "address": "write_mail",
    "send": "write_mail",
    "reply": "write_mail",
    "inbox": "read_mail",
    "doctor": "examine",
    "echo": "echo_service",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
