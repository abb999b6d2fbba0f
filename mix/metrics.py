"""What an operator may watch: counts and sizes, never who or when."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from mix.links.front import Refused


class NodeMetrics:
    """The counters of a mix or a gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._refused = Counter(
            "mixmint_refused", "Requests and handshakes refused", ["socket", "reason"], registry=self.registry
        )
        self.frames_received = Counter(
            "mixmint_frames_received",
            "Frames with packets, by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.frames_sent = Counter(
            "mixmint_frames_sent", "Frames sent, empty ones too", ["peer", "outcome"], registry=self.registry
        )
        self.packets = Counter(
            "mixmint_packets", "Packets, by what was done with them", ["done"], registry=self.registry
        )
        self.dropped = Counter(
            "mixmint_packets_dropped", "Packets dropped, by reason", ["reason"], registry=self.registry
        )
        self.held = Gauge("mixmint_packets_held", "Packets held now", ["place"], registry=self.registry)
        self.filter_fill = Gauge(
            "mixmint_replay_filter_fill", "How full the fullest replay filter is", registry=self.registry
        )
        self.tick_lag = Gauge(
            "mixmint_tick_lag_seconds", "How late the last tick was", registry=self.registry
        )

    def refused(self, socket: str) -> Refused:
        """A counter of refusals at one socket, for `Front` and the TLS contexts."""
        return lambda reason: self._refused.labels(socket, reason).inc()

    def count_sent(self, peer: str, outcome: str) -> None:
        self.frames_sent.labels(peer, outcome).inc()
