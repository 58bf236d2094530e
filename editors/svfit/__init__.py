"""SVFit: only the leading singular values of the matrices are trained."""
