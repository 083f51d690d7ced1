"""Videos from files: one, a folder, a list, UCF-101."""
