"""Runs as data: config, plan, records, reports."""
