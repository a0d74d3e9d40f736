"""invitations, and broker users of workers"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "invitation",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(), nullable=True),
        sa.Column("rental_tag", sa.String(), nullable=True),
        sa.Column("price_per_hour", sa.Float(), nullable=True),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )
    # Workers of before have no user at the broker, and no token that may be exchanged.
    with op.batch_alter_table("worker") as table:
        table.add_column(sa.Column("invitation_id", sa.String(), nullable=True))
        table.add_column(sa.Column("join_nonce", sa.String(), nullable=False, server_default=""))
        table.add_column(
            sa.Column("may_return", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        table.add_column(sa.Column("broker_hash", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("worker") as table:
        for name in ("broker_hash", "may_return", "join_nonce", "invitation_id"):
            table.drop_column(name)
    op.drop_table("invitation")
