"""The Adversarial Robustness Toolbox (ART): its classifiers as models, its attacks as recipes."""
