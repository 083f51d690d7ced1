"""Defences of video models: what stands between an attacker's query and the answer."""
