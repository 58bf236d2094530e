"""SHOWS: the report (and, with a later step, the pages and the JSON API)."""
