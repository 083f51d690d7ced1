"""Training scripts of the zoo: `python -m vidrobust_zoo.train --help`."""
