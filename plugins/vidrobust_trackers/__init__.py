"""Observers that pass records on to experiment trackers."""
