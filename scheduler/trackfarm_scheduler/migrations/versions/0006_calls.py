"""jobs created by a single call, kept for a day"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    origin = sa.Column("origin", sa.String(), nullable=False, server_default="catalog")
    op.add_column("job", origin)
    op.create_index("ix_job_origin", "job", ["origin", "finished_at"])


def downgrade() -> None:
    op.drop_index("ix_job_origin", "job")
    op.drop_column("job", "origin")
