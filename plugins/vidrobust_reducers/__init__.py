"""Dimension reducers: which frames and which regions to probe."""
