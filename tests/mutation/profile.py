"""A pytest plugin: Hypothesis finds the same examples each time, and a failure needs no smaller example."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, Phase, settings

import pipeline

# The copy that carries the fault, not an installed one.
assert Path(pipeline.__file__).is_relative_to(Path.cwd()), pipeline.__file__

settings.register_profile(
    "mutation",
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("mutation")
