"""Threat models under one roof."""
