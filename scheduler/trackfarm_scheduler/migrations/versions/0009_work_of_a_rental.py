"""find the workers of a rental and their attempts without looking at all there are"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_attempt_worker", "attempt", ["worker_id", "state"])
    op.create_index("ix_worker_rental_tag", "worker", ["rental_tag"])


def downgrade() -> None:
    op.drop_index("ix_worker_rental_tag", "worker")
    op.drop_index("ix_attempt_worker", "attempt")
