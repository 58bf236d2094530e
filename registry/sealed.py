"""Small JSON files that vouch for themselves: caches that are rewritten at any time, outside of any release.

The file is canonical JSON with a `seal`: the digest of everything else in it. Any changed byte breaks the form or the
seal. It does not keep out a forger, who can seal again; what a release rests on is recorded in the ledger instead.
"""

import json
from collections.abc import Mapping
from typing import Any

from registry.digests import canonical_json, digest_json

SEAL = "seal"


def sealed(values: Mapping[str, Any]) -> bytes:
    """The bytes of a sealed file that holds `values`."""
    content = {name: value for name, value in values.items() if name != SEAL}
    return canonical_json({**content, SEAL: digest_json(content)})


def is_sealed(data: bytes) -> bool:
    """Whether these bytes are a whole sealed file."""
    try:
        values = json.loads(data)
        return isinstance(values, dict) and SEAL in values and sealed(values) == data
    except ValueError:
        return False
