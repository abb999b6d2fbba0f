"""How long the properties are looked at: for seconds, and always at the same examples; longer on request."""

import os

from hypothesis import HealthCheck, Phase, settings

LONG = "MIXMINT_LONG_PROPERTIES"
"""Set this to a number: so many times the examples, and other ones each time."""


def looked_at(examples: int, steps: int = 0) -> settings:
    """Settings for ``examples`` examples (of ``steps`` steps), the same ones in every run."""
    times = int(os.environ.get(LONG, "0"))
    return settings(
        max_examples=examples * max(1, times),
        stateful_step_count=steps or 50,
        deadline=None,
        derandomize=times == 0,
        database=None,
        # Shrinking a failure runs it some hundred times more, and each run is a whole network.
        phases=(Phase.explicit, Phase.generate, Phase.shrink) if times else (Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
