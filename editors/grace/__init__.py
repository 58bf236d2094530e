"""GRACE: a code book of whole prompts beside one MLP; the baseline that never generalises."""
