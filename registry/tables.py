"""The tables of the ledger's database; the same on SQLite and on Postgres.

All but `aliases`, `intents` and `content_keys` are append-only: triggers refuse to change or delete a row. Dates and
times are ISO 8601 texts, structured values canonical JSON texts, so that what is stored is byte for byte what was
hashed. Content is sealed under keys of its own (`registry.shredding`).
"""

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, Text

metadata = MetaData()

entries = Table(
    "entries",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False, index=True),
    Column("actor", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("leaf", Text, nullable=False),
)
"""The log: one row per leaf."""

heads = Table(
    "heads",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("root", Text, nullable=False),
    Column("peaks", Text, nullable=False),
)
"""Size and root of the log after every transaction, and the frontier from which the next one goes on."""

facts = Table(
    "facts",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("fact_id", Text, nullable=False, index=True),
    Column("memory", Text, nullable=False),
    Column("release", Integer, nullable=False, index=True),
    Column("recorded_at", Text, nullable=False),
    Column("content", Text, nullable=False),
)
"""What was asserted, closed and retracted about the world, in the order in which it became known; content is sealed."""

releases = Table(
    "releases",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("parent", Integer, ForeignKey("releases.number")),
    Column("body", Text, nullable=False),
)
"""Published releases, without their MLflow version."""

versions = Table(
    "versions",
    metadata,
    Column("release", Integer, ForeignKey("releases.number"), primary_key=True, autoincrement=False),
    Column("version", Text, primary_key=True),
    Column("digest", Text, nullable=False),
)
"""The MLflow versions of a release and the digest of each artefact folder; the last one counts."""

aliases = Table(
    "aliases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("number", Integer, ForeignKey("releases.number"), nullable=False),
)
"""Names that move: which release each points to now."""

intents = Table(
    "intents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
)
"""What a writer has begun and not yet committed."""

feeds = Table(
    "feeds",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("release", Integer),
    Column("status", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
)
"""Every run of a feed."""

feed_rows = Table(
    "feed_rows",
    metadata,
    Column("feed", Integer, ForeignKey("feeds.id"), primary_key=True, autoincrement=False),
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("decision", Text, nullable=False),
    Column("body", Text, nullable=False),
)
"""What became of each of its rows, with the reasons and the raw text, sealed."""

content_keys = Table(
    "content_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("key", Text, nullable=False),
)
"""Keys of sealed content; a row is deleted when the content is forgotten, and never changed."""

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("size", Integer, primary_key=True, autoincrement=False),
    Column("note", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
)
"""The log's signed checkpoints, as notes with the log's own signature."""

cosignatures = Table(
    "cosignatures",
    metadata,
    Column("size", Integer, ForeignKey("checkpoints.size"), primary_key=True, autoincrement=False),
    Column("witness", Text, primary_key=True),
    Column("line", Text, nullable=False),
    Column("recorded_at", Text, nullable=False),
)
"""What witnesses put below a checkpoint."""

requests = Table(
    "requests",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
)
"""What was asked for: every content of every request."""

request_comments = Table(
    "request_comments",
    metadata,
    Column("request", Integer, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("words", Text, nullable=False),
)
"""What was said about requests."""

APPEND_ONLY = (
    *(entries, heads, facts, releases, versions, feeds, feed_rows),
    *(requests, request_comments, checkpoints, cosignatures),
)


def append_only_ddl(dialect: str) -> list[str]:
    """Statements that make the append-only tables refuse UPDATE and DELETE; harmless when run again."""
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
            f"BEGIN SELECT RAISE(ABORT, '{table.name} is append-only'); END"
            for table in APPEND_ONLY
            for verb in ("UPDATE", "DELETE")
        ]
    function = (
        "CREATE OR REPLACE FUNCTION dmmgov_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only'; END $$"
    )
    triggers = [
        f"CREATE OR REPLACE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE ON {table.name} "
        "FOR EACH ROW EXECUTE FUNCTION dmmgov_append_only()"
        for table in APPEND_ONLY
    ]
    return [function, *triggers]
