"""Sparse spectral training: all singular values each step, a drawn few of the singular vectors at a time."""
