"""webhooks and their outbox, usage by key and hour, labels of tracks"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIMINGS = {
    "sqlite": "json_extract(attempt.timings, '$.service')",
    "postgresql": "CAST(CAST(attempt.timings AS json) ->> 'service' AS double precision)",
}
_HOUR = {
    "sqlite": "CAST(artifact.committed_at / 3600 AS INTEGER)",
    "postgresql": "CAST(FLOOR(artifact.committed_at / 3600) AS BIGINT)",
}
_PARTS = {
    "ix_track_made": ("track", ["job_id", "ended_at", "duration"], "state = 'done'"),
    "ix_job_track_shared": ("job_track", ["job_id"], "shared"),
}
# What is known of the time before: the tracks that were done. Failed attempts kept no times.
_BACKFILL = """
INSERT INTO usage (owner, key_id, hour, tracks, failures, audio_seconds, gpu_seconds, dollars)
SELECT job.owner, job.key_id, {hour} * 3600,
       COUNT(*), 0, SUM(track.duration), SUM(COALESCE({service}, 0)),
       SUM(COALESCE({service}, 0) * worker.price_per_hour / 3600)
FROM artifact
JOIN track ON track.id = artifact.track_id
JOIN job ON job.id = track.job_id
JOIN worker ON worker.id = artifact.worker_id
JOIN attempt ON attempt.track_id = artifact.track_id AND attempt.lease_id = artifact.lease_id
GROUP BY 1, 2, 3
"""


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("events", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_webhook_owner", "webhook", ["owner"])
    op.create_table(
        "webhook_delivery",
        sa.Column("id", _BIG, autoincrement=True, nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("track_id", _BIG, nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        sa.Column("next_at", sa.Float(), nullable=False),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
    )
    for name, columns in (
        ("due", ["webhook_id", "state", "next_at"]),
        ("page", ["webhook_id", "id"]),
        ("ended", ["ended_at"]),
    ):
        op.create_index(f"ix_webhook_delivery_{name}", "webhook_delivery", columns)
    _usage()
    op.create_table(
        "track_tag",
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tag", "value", "job_id", "ordinal"),
    )
    op.create_index("ix_track_tag_job", "track_tag", ["job_id"])
    _tags()
    op.create_index("ix_job_made", "job", ["created_at", "id"])
    for name, (table, columns, only) in _PARTS.items():
        where = sa.text(only)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def _usage() -> None:
    op.create_table(
        "usage",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tracks", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("audio_seconds", sa.Float(), nullable=False),
        sa.Column("gpu_seconds", sa.Float(), nullable=False),
        sa.Column("dollars", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "key_id", "hour"),
    )
    dialect = op.get_bind().dialect.name
    op.execute(_BACKFILL.format(service=_TIMINGS[dialect], hour=_HOUR[dialect]))


def _tags() -> None:
    """Add the labels of existing tracks."""
    each = {
        "sqlite": "json_each(job_track.tags) AS label WHERE job_track.tags <> '{}'",
        "postgresql": "json_each_text(CAST(job_track.tags AS json)) AS label"
        " WHERE job_track.tags <> '{}'",
    }[op.get_bind().dialect.name]
    op.execute(
        "INSERT INTO track_tag (tag, value, job_id, ordinal)"  # noqa: S608 - no input in it
        " SELECT label.key, CAST(label.value AS VARCHAR), job_track.job_id, job_track.ordinal"
        f" FROM job_track, {each}"
    )


def downgrade() -> None:
    op.drop_index("ix_job_made", "job")
    for name, (table, _columns, _only) in _PARTS.items():
        op.drop_index(name, table)
    for table in ("track_tag", "usage", "webhook_delivery", "webhook"):
        op.drop_table(table)
