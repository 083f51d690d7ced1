"""Gradient estimators: from losses of probes to a descent direction."""
