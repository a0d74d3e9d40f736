"""rentals in full, and the fleet's leader lease; the old rental table was never written"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_table("rental")
    op.create_table(
        "rental",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("provider_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("gpu", sa.String(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("vram", sa.Integer(), nullable=False),
        sa.Column("model_set", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("price_per_hour", sa.Float(), nullable=False),
        sa.Column("bid", sa.Float(), nullable=True),
        sa.Column("extra", sa.Float(), nullable=False),
        sa.Column("ready_in", sa.Float(), nullable=False),
        sa.Column("intended_at", sa.Float(), nullable=False),
        sa.Column("since", sa.Float(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=True) for name in _MOMENTS),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("prices", sa.Text(), nullable=False),
        sa.Column("dismissed", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tag"),
    )
    op.create_index("ix_rental_ended", "rental", ["ended_at"])
    op.create_table(
        "fleet_term",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("farm", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("until", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


_MOMENTS = ("created_at", "joined_at", "ended_at", "seen_at", "stopped_at", "asked_to_end_at")


def downgrade() -> None:
    op.drop_table("fleet_term")
    op.drop_table("rental")
    op.create_table(
        "rental",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("provider_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("gpu", sa.String(), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("price_per_hour", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("joined_at", sa.Float(), nullable=True),
        sa.Column("ended_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("tag"),
    )
