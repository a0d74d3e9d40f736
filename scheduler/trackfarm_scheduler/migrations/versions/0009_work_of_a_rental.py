"""indexes for the workers of a rental and their attempts; messages by the time they are given up"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
_WAITING = sa.text("state = 'pending'")


def upgrade() -> None:
    op.create_index("ix_attempt_worker", "attempt", ["worker_id", "state"])
    op.create_index("ix_worker_rental_tag", "worker", ["rental_tag"])
    op.create_index(
        "ix_webhook_delivery_waiting",
        "webhook_delivery",
        ["since"],
        sqlite_where=_WAITING,
        postgresql_where=_WAITING,
    )


def downgrade() -> None:
    op.drop_index("ix_webhook_delivery_waiting", "webhook_delivery")
    op.drop_index("ix_worker_rental_tag", "worker")
    op.drop_index("ix_attempt_worker", "attempt")
