"""AstFocus: two agents learn which frames and which patches to attack."""
