"""REMEMBERS: facts, deltas, releases and the ledger in which every event is one entry.

`records` holds the types that every other package shares; it needs the standard library only. `ledger`, `facts` and
`releases` keep them. Nothing in here imports another package of this project.
"""
