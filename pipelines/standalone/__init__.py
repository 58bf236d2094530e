"""Scripts that travel alone: each needs nothing of this project."""
