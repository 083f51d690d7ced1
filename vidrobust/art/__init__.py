"""Part of vidrobust: art."""
