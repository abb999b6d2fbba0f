"""What the operator may watch: counts and sizes, never who asked for what."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


class BoardMetrics:
    """The board's counters."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.entries = Counter("mixmint_board_entries", "Entries published", registry=self.registry)
        self.rounds = Counter("mixmint_board_rounds", "Rounds closed", registry=self.registry)
        self.newest = Gauge("mixmint_board_newest_round", "Newest closed round", registry=self.registry)
        self.round_age_s = Gauge(
            "mixmint_board_round_age_seconds",
            "Since a round closed; more than round_ms: trouble",
            registry=self.registry,
        )
        self.feeds = Counter("mixmint_board_feeds", "Batches, by outcome", ["result"], registry=self.registry)
        self.feed_s = Histogram(
            "mixmint_board_feed_seconds",
            "From a batch to its receipt",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "mixmint_board_refused", "Requests refused, by reason", ["reason"], registry=self.registry
        )
        self.write_failures = Counter(
            "mixmint_board_write_failures", "Commits that failed: a full disk", registry=self.registry
        )
        self.repeats = Gauge(
            "mixmint_board_repeats", "Coins certified or spent a second time", registry=self.registry
        )
        self.unknown = Gauge(
            "mixmint_board_unknown", "Coins spent that were never certified", registry=self.registry
        )
        self.checked = Counter(
            "mixmint_board_checked", "Signatures checked, by result", ["result"], registry=self.registry
        )
        self.subscribers = Gauge("mixmint_board_subscribers", "Live feeds open", registry=self.registry)
        self.evicted = Counter(
            "mixmint_board_evicted", "Live feeds closed for being slow", registry=self.registry
        )
