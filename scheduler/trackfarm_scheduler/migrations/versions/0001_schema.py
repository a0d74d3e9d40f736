"""All tables, as the models in `db/tables*.py` declare them. Columns have no defaults in the
database: the models give every value."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite gives row ids only to INTEGER keys; PostgreSQL needs 64 bits.
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INTEGER, FLOAT, BOOLEAN = sa.Integer(), sa.Float(), sa.Boolean()
STRING, TEXT = sa.String(), sa.Text()

TABLES = (
    "job",
    "track",
    "job_track",
    "track_tag",
    "upload",
    "job_upload",
    "artifact",
    "shard",
    "lease",
    "attempt",
    "worker",
    "invitation",
    "event",
    "counter",
    "usage",
    "speed",
    "api_key",
    "audit",
    "idempotency",
    "webhook",
    "webhook_delivery",
    "rental",
    "farm",
    "leader_lease",
)


def upgrade() -> None:
    _create_jobs()
    _create_work()
    _create_history()
    _create_access()
    _create_webhooks()
    _create_fleet()


def downgrade() -> None:
    for name in reversed(TABLES):
        op.drop_table(name)


def _create_jobs() -> None:
    op.create_table(
        "job",
        *_columns(STRING, "id", "owner", "key_id", "catalog", "model_set", "state"),
        sa.Column("priority", INTEGER, nullable=False),
        *_columns(STRING, "lane", "origin"),
        *_columns(FLOAT, "deadline", "budget", nullable=True),
        *_columns(FLOAT, "spent", "last_shard_at"),
        sa.Column("plan", TEXT, nullable=False),
        *_columns(STRING, "reason", "digest"),
        *_columns(INTEGER, "new_tracks", "track_count"),
        *_columns(FLOAT, "audio_seconds", "created_at", "touched_at"),
        *_columns(FLOAT, "sealed_at", "started_at", "finished_at", "removed_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_job_digest", "job", ["owner", "digest"])
    op.create_index("ix_job_key_id", "job", ["key_id"])
    op.create_index("ix_job_made", "job", ["created_at", "id"])
    op.create_index("ix_job_origin", "job", ["origin", "finished_at"])
    op.create_index("ix_job_state", "job", ["state"])
    op.create_table(
        "track",
        sa.Column("id", BIG, autoincrement=True),
        *_columns(STRING, "key", "job_id", "state"),
        sa.Column("brief", TEXT, nullable=False),
        sa.Column("duration", FLOAT, nullable=False),
        sa.Column("steps", INTEGER, nullable=False),
        sa.Column("guided", BOOLEAN, nullable=False),
        *_columns(STRING, "model_set", "audio_format"),
        *_columns(INTEGER, "min_vram", "variation", "tries", "failures", "crashes"),
        sa.Column("not_before", FLOAT, nullable=False),
        sa.Column("error", STRING, nullable=False),
        sa.Column("created_at", FLOAT, nullable=False),
        sa.Column("ended_at", FLOAT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key"),
    )
    _create_partial_index("ix_track_begun", "track", ["job_id"], "state = 'pending' AND tries > 0")
    op.create_index("ix_track_job_state", "track", ["job_id", "state"])
    _create_partial_index(
        "ix_track_made", "track", ["job_id", "ended_at", "duration"], "state = 'done'"
    )
    op.create_index("ix_track_state", "track", ["state"])
    op.create_table(
        "job_track",
        sa.Column("job_id", STRING, nullable=False),
        sa.Column("ordinal", INTEGER, nullable=False),
        sa.Column("track_id", BIG, nullable=False),
        sa.Column("name", STRING, nullable=False),
        sa.Column("tags", TEXT, nullable=False),
        sa.Column("shared", BOOLEAN, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "ordinal"),
    )
    _create_partial_index("ix_job_track_shared", "job_track", ["job_id"], "shared")
    op.create_index("ix_job_track_track", "job_track", ["track_id"])
    op.create_table(
        "track_tag",
        *_columns(STRING, "tag", "value", "job_id"),
        sa.Column("ordinal", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("tag", "value", "job_id", "ordinal"),
    )
    op.create_index("ix_track_tag_job", "track_tag", ["job_id"])
    op.create_table(
        "upload",
        sa.Column("object_key", STRING, nullable=False),
        sa.Column("touched_at", FLOAT, nullable=False),
        sa.PrimaryKeyConstraint("object_key"),
    )
    op.create_table(
        "job_upload",
        *_columns(STRING, "job_id", "object_key"),
        sa.PrimaryKeyConstraint("job_id", "object_key"),
    )
    op.create_index("ix_job_upload_object", "job_upload", ["object_key"])
    op.create_table(
        "artifact",
        sa.Column("track_id", BIG, nullable=False),
        *_columns(STRING, "lease_id", "worker_id", "object_key"),
        sa.Column("size", BIG, nullable=False),
        *_columns(STRING, "md5", "sha256"),
        sa.Column("seed", BIG, nullable=False),
        sa.Column("seconds", FLOAT, nullable=False),
        sa.Column("measurements", TEXT, nullable=False),
        sa.Column("committed_at", FLOAT, nullable=False),
        sa.Column("etag", STRING, nullable=False),
        sa.Column("verified_at", FLOAT, nullable=True),
        sa.PrimaryKeyConstraint("track_id"),
        sa.UniqueConstraint("object_key"),
    )


def _create_work() -> None:
    op.create_table(
        "shard",
        *_columns(STRING, "id", "job_id", "queue", "model_set", "state"),
        sa.Column("tracks", INTEGER, nullable=False),
        *_columns(FLOAT, "expected_seconds", "price_per_hour"),
        sa.Column("is_speculative", BOOLEAN, nullable=False),
        sa.Column("created_at", FLOAT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_shard_job_state", "shard", ["job_id", "state"])
    op.create_table(
        "lease",
        sa.Column("id", STRING, nullable=False),
        sa.Column("sequence", BIG, nullable=False),
        *_columns(STRING, "shard_id", "job_id", "queue"),
        sa.Column("worker_id", STRING, nullable=True),
        *_columns(STRING, "state", "stage"),
        *_columns(INTEGER, "step", "steps"),
        sa.Column("offered_at", FLOAT, nullable=False),
        *_columns(FLOAT, "claimed_at", "expires_at", "ended_at", nullable=True),
        sa.Column("end_reason", STRING, nullable=False),
        sa.Column("engine_seconds", FLOAT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_lease_queue_sequence", "lease", ["queue", "sequence"])
    op.create_index("ix_lease_shard_id", "lease", ["shard_id"])
    op.create_index("ix_lease_state", "lease", ["state"])
    op.create_index("ix_lease_worker", "lease", ["worker_id", "state"])
    op.create_table(
        "attempt",
        sa.Column("id", BIG, autoincrement=True),
        sa.Column("lease_id", STRING, nullable=False),
        sa.Column("track_id", BIG, nullable=False),
        sa.Column("worker_id", STRING, nullable=True),
        sa.Column("try_number", INTEGER, nullable=False),
        sa.Column("seed", BIG, nullable=False),
        *_columns(STRING, "state", "kind"),
        sa.Column("message", TEXT, nullable=False),
        sa.Column("object_key", STRING, nullable=False),
        sa.Column("url_expires_at", FLOAT, nullable=True),
        sa.Column("timings", TEXT, nullable=False),
        *_columns(FLOAT, "ended_at", "object_removed_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("lease_id", "track_id"),
    )
    op.create_index("ix_attempt_state", "attempt", ["state", "object_removed_at"])
    op.create_index("ix_attempt_track_id", "attempt", ["track_id"])
    op.create_index("ix_attempt_worker", "attempt", ["worker_id", "state"])
    op.create_table(
        "worker",
        *_columns(STRING, "id", "name", "token_hash", "state", "gpu"),
        sa.Column("memory_mib", INTEGER, nullable=False),
        sa.Column("tier", STRING, nullable=False),
        *_columns(INTEGER, "vram", "max_batch"),
        *_columns(STRING, "model_set", "provider", "rental_tag"),
        sa.Column("price_per_hour", FLOAT, nullable=False),
        sa.Column("queue", STRING, nullable=False),
        sa.Column("invitation_id", STRING, nullable=True),
        sa.Column("join_nonce", STRING, nullable=False),
        sa.Column("may_return", BOOLEAN, nullable=False),
        sa.Column("broker_hash", STRING, nullable=False),
        sa.Column("speed", FLOAT, nullable=False),
        *_columns(INTEGER, "strikes", "tracks_done", "tracks_failed", "engine_restarts"),
        sa.Column("gpu_memory_mib", INTEGER, nullable=True),
        sa.Column("gpu_utilisation", FLOAT, nullable=True),
        sa.Column("facts", TEXT, nullable=False),
        *_columns(FLOAT, "joined_at", "last_seen"),
        sa.Column("left_at", FLOAT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index("ix_worker_queue", "worker", ["queue"])
    op.create_index("ix_worker_rental_tag", "worker", ["rental_tag"])
    op.create_index("ix_worker_state", "worker", ["state"])
    op.create_table(
        "invitation",
        *_columns(STRING, "id", "token_hash"),
        sa.Column("made_at", FLOAT, nullable=False),
        sa.Column("made_by", STRING, nullable=False),
        sa.Column("expires_at", FLOAT, nullable=False),
        sa.Column("uses_left", INTEGER, nullable=False),
        *_columns(STRING, "provider", "rental_tag", nullable=True),
        sa.Column("price_per_hour", FLOAT, nullable=True),
        sa.Column("note", STRING, nullable=False),
        sa.Column("revoked_at", FLOAT, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )


def _create_history() -> None:
    op.create_table(
        "event",
        sa.Column("id", BIG, autoincrement=True),
        sa.Column("at", FLOAT, nullable=False),
        sa.Column("kind", STRING, nullable=False),
        sa.Column("job_id", STRING, nullable=True),
        sa.Column("track_id", BIG, nullable=True),
        *_columns(STRING, "shard_id", "lease_id", "worker_id", nullable=True),
        sa.Column("data", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_event_job", "event", ["job_id", "id"])
    op.create_table(
        "counter",
        *_columns(STRING, "name", "labels"),
        sa.Column("value", FLOAT, nullable=False),
        sa.PrimaryKeyConstraint("name", "labels"),
    )
    op.create_table(
        "usage",
        *_columns(STRING, "owner", "key_id"),
        sa.Column("hour", sa.BigInteger(), autoincrement=False),
        *_columns(INTEGER, "tracks", "failures"),
        *_columns(FLOAT, "audio_seconds", "gpu_seconds", "dollars"),
        sa.PrimaryKeyConstraint("owner", "key_id", "hour"),
    )
    op.create_table(
        "speed",
        *_columns(STRING, "gpu", "model_set"),
        sa.Column("stats", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("gpu", "model_set"),
    )


def _create_access() -> None:
    op.create_table(
        "api_key",
        *_columns(STRING, "id", "name", "owner", "hash", "scopes"),
        sa.Column("rate", INTEGER, nullable=False),
        sa.Column("most_tracks", BIG, nullable=True),
        sa.Column("made_at", FLOAT, nullable=False),
        *_columns(FLOAT, "expires_at", "revoked_at", "last_used_at", nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "audit",
        sa.Column("id", BIG, autoincrement=True),
        sa.Column("at", FLOAT, nullable=False),
        sa.Column("key_id", STRING, nullable=True),
        sa.Column("key_name", STRING, nullable=False),
        sa.Column("worker_id", STRING, nullable=True),
        *_columns(STRING, "address", "action", "target", "outcome", "request_id"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_audit_target", "audit", ["target", "id"])
    op.create_table(
        "idempotency",
        *_columns(STRING, "key_id", "token", "holder", "digest"),
        sa.Column("status", INTEGER, nullable=False),
        sa.Column("media_type", STRING, nullable=False),
        sa.Column("body", TEXT, nullable=False),
        sa.Column("expires_at", FLOAT, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "token"),
    )
    op.create_index("ix_idempotency_expires_at", "idempotency", ["expires_at"])


def _create_webhooks() -> None:
    op.create_table(
        "webhook",
        *_columns(STRING, "id", "owner", "url", "events", "secret_hash"),
        sa.Column("made_at", FLOAT, nullable=False),
        sa.Column("failures", INTEGER, nullable=False),
        sa.Column("not_before", FLOAT, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_webhook_owner", "webhook", ["owner"])
    op.create_table(
        "webhook_delivery",
        sa.Column("id", BIG, autoincrement=True),
        *_columns(STRING, "message_id", "webhook_id", "event", "job_id"),
        sa.Column("track_id", BIG, nullable=True),
        sa.Column("data", TEXT, nullable=False),
        sa.Column("state", STRING, nullable=False),
        sa.Column("tries", INTEGER, nullable=False),
        *_columns(FLOAT, "created_at", "since", "next_at"),
        sa.Column("ended_at", FLOAT, nullable=True),
        sa.Column("status", INTEGER, nullable=True),
        sa.Column("error", STRING, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("message_id"),
    )
    op.create_index(
        "ix_webhook_delivery_due", "webhook_delivery", ["webhook_id", "state", "next_at"]
    )
    op.create_index("ix_webhook_delivery_ended", "webhook_delivery", ["ended_at"])
    op.create_index("ix_webhook_delivery_page", "webhook_delivery", ["webhook_id", "id"])
    _create_partial_index(
        "ix_webhook_delivery_waiting", "webhook_delivery", ["since"], "state = 'pending'"
    )


def _create_fleet() -> None:
    op.create_table(
        "rental",
        *_columns(STRING, "id", "tag", "provider", "provider_id", "state", "gpu"),
        *_columns(INTEGER, "gpus", "vram"),
        *_columns(STRING, "model_set", "purpose"),
        sa.Column("price_per_hour", FLOAT, nullable=False),
        sa.Column("bid", FLOAT, nullable=True),
        sa.Column("extra", FLOAT, nullable=False),
        sa.Column("charged", FLOAT, nullable=True),
        *_columns(FLOAT, "ready_in", "intended_at", "since"),
        *_columns(FLOAT, "created_at", "joined_at", "ended_at", nullable=True),
        *_columns(FLOAT, "seen_at", "stopped_at", "asked_to_end_at", nullable=True),
        sa.Column("reason", STRING, nullable=False),
        sa.Column("prices", TEXT, nullable=False),
        sa.Column("dismissed", STRING, nullable=False),
        sa.Column("version", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tag"),
    )
    op.create_index("ix_rental_ended", "rental", ["ended_at"])
    op.create_table(
        "farm",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("name", STRING, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "leader_lease",
        *_columns(STRING, "name", "holder"),
        sa.Column("epoch", INTEGER, nullable=False),
        sa.Column("expires_at", FLOAT, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _columns(
    kind: sa.types.TypeEngine[Any], *names: str, nullable: bool = False
) -> list[sa.Column[Any]]:
    return [sa.Column(name, kind, nullable=nullable) for name in names]


def _create_partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
