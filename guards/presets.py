"""Policies for workplaces in which no stranger and no single source that can be taken over may carry a fact.

`strict` lets in less: what one established source says waits for a second listed one, and what strangers say waits for
listed sources however many strangers there are. Authoritative sources pass alone as before. What it stops and what it
costs is measured in benchmarks/security.py, in a column of its own.
"""

from collections.abc import Mapping
from dataclasses import replace

from guards.admission import AdmissionPolicy
from guards.recalls import MemoryPolicy

STRICT: Mapping[str, int | bool] = {"established_alone": False, "quorum": 2, "listed": 2}
"""The keys of `admission:` in conf/policy.yaml that make it strict."""


def strict_admission(policy: AdmissionPolicy) -> AdmissionPolicy:
    """A policy of the admission, made strict."""
    return replace(policy, **STRICT)  # type: ignore[arg-type]


def strict_memories(policy: MemoryPolicy) -> MemoryPolicy:
    """A policy for agents' memories, made strict."""
    return replace(policy, strangers=False)
