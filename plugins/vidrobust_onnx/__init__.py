"""Exported models through ONNX Runtime as threat models."""
