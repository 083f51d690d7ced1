"""Pixels in and out: reading, sampling, resizing, writing clips."""
