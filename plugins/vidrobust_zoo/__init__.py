"""Small trained video models and generated clips: the embedded default, which works offline."""
