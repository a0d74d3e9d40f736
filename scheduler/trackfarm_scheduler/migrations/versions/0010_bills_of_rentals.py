"""amount on a provider's bill for a rental"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("rental", schema=None) as batch_op:
        batch_op.add_column(sa.Column("charged", sa.Float(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("rental", schema=None) as batch_op:
        batch_op.drop_column("charged")
