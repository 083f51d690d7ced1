"""An estimator, an attack and a threat model for vidrobust."""
