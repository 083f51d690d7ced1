"""Baselines: attacks the others are measured against."""
