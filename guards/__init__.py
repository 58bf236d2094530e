"""JUDGES: what may enter, and what may be published. Guards see answers and records, never a model."""
