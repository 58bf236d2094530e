"""Audits: is everything as it was recorded, what leaks, how fresh is it, and the card and bundle that tell of it."""
