"""A small home for benches of faults: people, an approved need, a model, a cache, and one release."""

import json
import os
from pathlib import Path

from benchmarks.copies import home_at
from benchmarks.victims import AT, draft
from pipelines.publish import publish
from pipelines.requests.asked import content_of
from pipelines.requests.asking import add_request
from pipelines.requests.people import add_user
from registry.home import Home
from registry.ledger import Ledger

ROW = {"subject": "Chad", "relation": "currency", "object": "Central African CFA franc", "source": "a letter"}


def made(root: Path) -> Home:
    """A small home with people, an approved need, a model, a cache, and one release."""
    home = home_at(root)
    os.environ["DMMGOV_PASSPHRASE"] = "correct horse"
    for folder, name in ((home.models / "tiny", "model.safetensors"), (home.beliefs, "b.json")):
        folder.mkdir(parents=True)
        (folder / name).write_text(json.dumps({name: list(range(40))}))
    (root / "prefect").mkdir()
    (root / "prefect" / "server.log").write_text("started\n")
    add_user(home, "ann", ["admin", "requester"], at=AT)
    add_user(home, "bob", ["approver"], by="ann", at=AT)
    add_request(home, content_of("facts", "it was missing", rows=[ROW]), by="ann", at=AT)
    with Ledger.open(home) as ledger:
        publish(home, ledger, draft(home, 1), AT)
    return home
