"""What tests of measurement share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jaxtyping import config

from tests.plain_transformer import POSITIONS


@pytest.fixture
def few_inputs_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirteen of twenty: what is done a part at a time is put together rightly.

    Twenty are also enough for runs from the last layer on, which are compared on two.
    """
    monkeypatch.setattr("mechanistic_claims.model.batches.TOKENS_AT_A_TIME", 13 * POSITIONS)
    for name, number in {"WORTH_IT": 20, "CHECKED": 2}.items():
        monkeypatch.setattr(f"mechanistic_claims.measurement.last_layer.{name}", number)


@pytest.fixture
def as_for_users() -> Iterator[None]:
    """Annotations are not checked, which they are in tests alone."""
    before = config.jaxtyping_disable
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", before)
