"""A path of five keys, for the tests of packets."""

import os
from dataclasses import dataclass

from mix.packet.build import Hop, Route, key_id
from mix.packet.geometry import Token
from mix.packet.unwrap import Unwrapped, unwrap
from mixmint.keys import BoxKey


@dataclass
class Keys:
    """The keys of three mixes, a gateway and an endpoint, and the route over them."""

    boxes: tuple[BoxKey, ...]
    route: Route

    @classmethod
    def generate(cls) -> "Keys":
        boxes = tuple(BoxKey.generate() for _ in range(5))
        first, second, third, gateway = (Hop(key_id(box.public), box.public) for box in boxes[:4])
        return cls(boxes, Route((first, second, third, gateway), Token(os.urandom(16)), boxes[4].public))

    def walk(self, addressed: bytes, start: int = 0) -> list[Unwrapped]:
        """Unwrap at every hop from ``start`` on; the outputs."""
        outputs = []
        packet = addressed[16:]
        for box in self.boxes[start:]:
            outputs.append(unwrap(box.secret, packet))
            packet = outputs[-1].packet
        return outputs
