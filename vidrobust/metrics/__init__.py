"""Part of vidrobust: metrics."""
