"""
Sizes and names of the parts of a packet, in bytes.

    packet            alpha 32 || beta 174 || gamma 16 || body 2048
    addressed packet  key id 16 || packet

Source: docs/spec/packet.md, section 1.
"""

from typing import NewType

Packet = NewType("Packet", bytes)
Addressed = NewType("Addressed", bytes)
"""A packet behind the id of the key that it is to be unwrapped with: as it travels on links."""
KeyId = NewType("KeyId", bytes)
"""Names a node's Sphinx key, and with it the node and the key epoch."""
Token = NewType("Token", bytes)
"""The random name under which a gateway keeps an endpoint's packets."""
Tag = NewType("Tag", bytes)
"""What a packet is recognised by when it comes a second time."""

HOPS = 5
"""Three mixes, a gateway, an endpoint."""
K_BYTES = 16
"""The symmetric security parameter: keys, MACs, tags, ids."""
ALPHA_BYTES = 32
COMMAND_BYTES = 21
BETA_BYTES = HOPS * (1 + COMMAND_BYTES) + (HOPS - 1) * K_BYTES
HEADER_BYTES = ALPHA_BYTES + BETA_BYTES + K_BYTES
BODY_BYTES = 2048
MESSAGE_BYTES = BODY_BYTES - K_BYTES - 1
"""The longest message: the body without its MAC and the padding's first byte."""
PACKET_BYTES = HEADER_BYTES + BODY_BYTES
KEY_ID_BYTES = 16
TOKEN_BYTES = 16
TAG_BYTES = 16
ADDRESSED_BYTES = KEY_ID_BYTES + PACKET_BYTES
REPLY_BLOCK_BYTES = KEY_ID_BYTES + HEADER_BYTES + K_BYTES + 4
