"""Requests: people ask for changes, others approve them, and the ledger alone says what is allowed."""
