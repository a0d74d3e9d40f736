"""verification of artifacts, engine seconds of a lease, removed jobs, uploads and their use"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("artifact", sa.Column("etag", sa.String(), nullable=False, server_default=""))
    op.add_column("artifact", sa.Column("looked_at", sa.Float(), nullable=True))
    op.add_column(
        "lease", sa.Column("engine_seconds", sa.Float(), nullable=False, server_default="0")
    )
    op.add_column("job", sa.Column("removed_at", sa.Float(), nullable=True))
    op.create_table(
        "upload",
        sa.Column("object_key", sa.String(), nullable=False),
        sa.Column("touched_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("object_key"),
    )
    op.create_table(
        "job_upload",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("object_key", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "object_key"),
    )
    op.create_index("ix_job_upload_object", "job_upload", ["object_key"])


def downgrade() -> None:
    op.drop_table("job_upload")
    op.drop_table("upload")
    op.drop_column("job", "removed_at")
    op.drop_column("lease", "engine_seconds")
    op.drop_column("artifact", "looked_at")
    op.drop_column("artifact", "etag")
