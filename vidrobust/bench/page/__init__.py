"""A report as one self-contained page: opens without a network, light or dark, wide or narrow."""

from vidrobust.bench.page.build import write_page

__all__ = ["write_page"]
