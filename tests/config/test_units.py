"""Durations, sizes, rates and shares, written as they are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepsw.config.units import (
    duration,
    duration_text,
    rate,
    rate_text,
    share,
    share_text,
    size,
    size_text,
)


@pytest.mark.parametrize("text", ["500ms", "5s", "90s", "2h", "1d", "1ms", "7d", "1.5ms", "10m"])
def test_durations(text):
    """A duration is written in the largest unit that leaves no fraction."""
    assert duration_text(duration(text)) == text


@pytest.mark.parametrize("text", ["0B", "1B", "512KiB", "16MiB", "4GiB", "1TiB", "1023B"])
def test_sizes(text):
    """A size is written in the largest unit that leaves no fraction."""
    assert size_text(size(text)) == text


@pytest.mark.parametrize("text", ["200/s", "7.407/s", "10/m", "7.407/m", "5/h", "0.001/h"])
def test_rates(text):
    """A rate is written by the first unit that says it exactly."""
    assert rate_text(rate(text)) == text


@pytest.mark.parametrize("text", ["10%", "0.5%", "100%", "7%", "0.000001%"])
def test_shares(text):
    """A share is written in percent."""
    assert share_text(share(text)) == text


@given(st.integers(0, 10**11))
def test_milliseconds_come_back(number):
    """Whatever number of milliseconds was meant, it is read again as that."""
    assert duration(duration_text(number / 1000)) == pytest.approx(number / 1000)
