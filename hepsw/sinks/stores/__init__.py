"""Stores: sinks that keep records, each batch once, whatever the far side does."""
