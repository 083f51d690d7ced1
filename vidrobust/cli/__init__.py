"""Part of vidrobust: cli."""
