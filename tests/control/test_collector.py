"""The collector keeps away from configurations."""

import gc

import pytest

from hepsw.control.collector import no_full_collections


def test_full_collections_are_put_off_and_what_was_made_is_left_alone():
    """Meanwhile only young objects are looked at; afterwards all is as before, but frozen."""
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        with no_full_collections():
            assert gc.get_threshold()[:2] == before[:2]
            assert gc.get_threshold()[2] > 1_000_000
            made = [[] for _ in range(1000)]
        assert gc.get_threshold() == before
        assert gc.get_freeze_count() >= frozen + len(made)
    finally:
        gc.unfreeze()


def test_an_error_changes_nothing_about_it():
    """The thresholds come back whatever happens."""
    before = gc.get_threshold()
    try:
        with pytest.raises(ValueError, match="refused"), no_full_collections():
            raise ValueError("refused")
        assert gc.get_threshold() == before
    finally:
        gc.unfreeze()
