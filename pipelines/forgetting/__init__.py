"""Forgetting: content goes everywhere in a home, and the log still proves that something was there."""
