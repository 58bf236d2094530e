"""ROME: one fact at a time, one rank-one change each."""
