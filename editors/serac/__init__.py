"""SERAC: edits kept beside a frozen model, answered when a question is in their scope."""
