"""WISE: side memories of one MLP, of which at most one serves a sequence."""
