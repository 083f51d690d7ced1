"""Recognisers of MMAction2 1.x as threat models."""
