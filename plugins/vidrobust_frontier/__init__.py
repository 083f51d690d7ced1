"""Few queries and small perturbations at once: a search over textures, and refinement."""
