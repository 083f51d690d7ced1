"""A recognition service behind a URL as a threat model."""
