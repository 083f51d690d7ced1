"""Any `torch.nn.Module` as a threat model."""
