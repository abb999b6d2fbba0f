"""
Where a successor is reached: an endpoint of his own, for the network's next directory.

The endpoint's key is no bank's signing key. Who has kept it keeps the bank's address; who hasn't makes a new
one, and the authorities, who sign the change of the bank's key anyway, sign a directory that names it.
Nothing else of the bank's entry changes: its name, and its founding key as its identity. Members take the new
directory as they take every other.

Source: docs/spec/succession.md, section 7.
"""

import os
from pathlib import Path

from msgspec.structs import replace

from bank.settings import BankSettings
from mix.directory import Service, sign_descriptor
from mix.packet.geometry import TOKEN_BYTES
from mixmint.errors import UserError
from mixmint.keys import SEED_BYTES, BoxKey, SigningKey, read_secret, write_new, write_secret
from replyblocks.init import mailbox_owner


def new_endpoint(
    folder: Path,
    settings: BankSettings,
    service: Service,
    gateway: str | None,
    url: str | None,
    now_s: float,
) -> tuple[Path, SigningKey]:
    """
    Make what a successor is reached by in his folder: ``endpoint.key``, if there is none, and ``descriptor``,
    signed by the new key; the descriptor's path, and that key. ``service``: the bank's entry so far;
    ``gateway``, ``url``: where that changes; ``now_s``: of two descriptors the later one counts.

    Raises UserError: no signing key, a key or a descriptor that can't be written, a descriptor that is there.
    """
    key = SigningKey(read_secret(settings.key_path, SEED_BYTES))
    path = folder / "descriptor"
    if path.exists():
        raise UserError(f"{path} is there already; move it away to make another one")
    if settings.endpoint_key_path.exists():
        endpoint = BoxKey(read_secret(settings.endpoint_key_path, SEED_BYTES))
    else:
        endpoint = BoxKey.generate()
        write_secret(settings.endpoint_key_path, endpoint.secret)
    same = endpoint.public == service.endpoint_public and gateway in (None, service.gateway)
    made = replace(
        service,
        gateway=gateway or service.gateway,
        url=service.url if url is None else url,
        # Whoever has the old key may still fetch what comes for the old token.
        token=service.token if same else os.urandom(TOKEN_BYTES),
        endpoint_public=endpoint.public,
        owner=mailbox_owner(endpoint).public,
    )
    write_new(path, sign_descriptor(key, made, int(now_s)))
    return path, key
