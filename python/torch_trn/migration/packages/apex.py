"""apex: its optimizers and norms only."""
