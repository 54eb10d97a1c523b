# SPDX-License-Identifier: Apache-2.0
"""The first tables: commands, identity, processors, registry."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "commands",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("application_uid", sa.String(length=36), nullable=False),
        sa.Column("application", sa.String(length=253), nullable=False),
        sa.Column("device", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("content_type", sa.String(length=255), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=True),
        sa.Column("sender", sa.String(length=255), nullable=True),
        sa.Column("protocol", sa.String(length=16), nullable=True),
        sa.Column("acknowledged", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
    )
    with op.batch_alter_table("commands", schema=None) as batch_op:
        batch_op.create_index("ix_commands_application_uid_id", ["application_uid", "id"], unique=False)
        batch_op.create_index("ix_commands_state_expires", ["state", "expires"], unique=False)

    op.create_table(
        "processor_active",
        sa.Column("application", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        sa.Column("previous", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("application", name=op.f("pk_processor_active")),
    )
    op.create_table(
        "processor_versions",
        sa.Column("application", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("note", sa.String(length=500), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("packages", sa.JSON(), nullable=False),
        sa.Column("resolved", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("application", "number", name=op.f("pk_processor_versions")),
    )
    op.create_table(
        "registry_changes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("application", sa.String(length=255), nullable=False),
        sa.Column("device", sa.String(length=255), nullable=True),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_registry_changes")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "tenants",
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_tenants")),
        sa.UniqueConstraint("name", name=op.f("uq_tenants_name")),
    )
    op.create_table(
        "applications",
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("resource_version", sa.String(length=36), nullable=False),
        sa.Column("finalizers", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("annotations", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("status", sa.JSON(), nullable=False),
        sa.Column("tenant", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.uid"], name=op.f("fk_applications_tenant_tenants")),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_applications")),
        sa.UniqueConstraint("name", name=op.f("uq_applications_name")),
    )
    with op.batch_alter_table("applications", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_applications_tenant"), ["tenant"], unique=False)

    op.create_table(
        "people",
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("tenant", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("last_sign_in", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.uid"], name=op.f("fk_people_tenant_tenants"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_people")),
        sa.UniqueConstraint("tenant", "name", name=op.f("uq_people_tenant")),
    )
    op.create_table(
        "access_tokens",
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("person", sa.String(length=36), nullable=False),
        sa.Column("description", sa.String(length=255), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.Column("last_used", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["person"], ["people.uid"], name=op.f("fk_access_tokens_person_people"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_access_tokens")),
        sa.UniqueConstraint("hash", name=op.f("uq_access_tokens_hash")),
    )
    with op.batch_alter_table("access_tokens", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_access_tokens_person"), ["person"], unique=False)

    op.create_table(
        "application_keys",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("application", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["applications.uid"],
            name=op.f("fk_application_keys_application_applications"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_application_keys")),
    )
    with op.batch_alter_table("application_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_application_keys_application"), ["application"], unique=False)

    op.create_table(
        "application_labels",
        sa.Column("resource", sa.String(length=36), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource"],
            ["applications.uid"],
            name=op.f("fk_application_labels_resource_applications"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("resource", "key", name=op.f("pk_application_labels")),
    )
    with op.batch_alter_table("application_labels", schema=None) as batch_op:
        batch_op.create_index("ix_application_labels_key_value", ["key", "value"], unique=False)

    op.create_table(
        "devices",
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.BigInteger(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("resource_version", sa.String(length=36), nullable=False),
        sa.Column("finalizers", sa.JSON(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("annotations", sa.JSON(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("status", sa.JSON(), nullable=False),
        sa.Column("application", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"], ["applications.uid"], name=op.f("fk_devices_application_applications"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_devices")),
        sa.UniqueConstraint("application", "name", name=op.f("uq_devices_application")),
    )
    op.create_table(
        "sessions",
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("person", sa.String(length=36), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("last_used", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["people.uid"], name=op.f("fk_sessions_person_people"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_sessions")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_person"), ["person"], unique=False)

    op.create_table(
        "sign_in_links",
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("person", sa.String(length=36), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["person"], ["people.uid"], name=op.f("fk_sign_in_links_person_people"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_sign_in_links")),
    )
    with op.batch_alter_table("sign_in_links", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sign_in_links_person"), ["person"], unique=False)

    op.create_table(
        "device_keys",
        sa.Column("application", sa.String(length=36), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("device", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["application"],
            ["applications.uid"],
            name=op.f("fk_device_keys_application_applications"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["device"], ["devices.uid"], name=op.f("fk_device_keys_device_devices"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("application", "key", name=op.f("pk_device_keys")),
    )
    with op.batch_alter_table("device_keys", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_device_keys_device"), ["device"], unique=False)

    op.create_table(
        "device_labels",
        sa.Column("resource", sa.String(length=36), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["resource"], ["devices.uid"], name=op.f("fk_device_labels_resource_devices"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("resource", "key", name=op.f("pk_device_labels")),
    )
    with op.batch_alter_table("device_labels", schema=None) as batch_op:
        batch_op.create_index("ix_device_labels_key_value", ["key", "value"], unique=False)

    op.create_table(
        "device_secrets",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("device", sa.String(length=36), nullable=False),
        sa.Column("verifier", sa.Text(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("generated", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["device"], ["devices.uid"], name=op.f("fk_device_secrets_device_devices"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_secrets")),
    )
    with op.batch_alter_table("device_secrets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_device_secrets_device"), ["device"], unique=False)


def downgrade() -> None:
    raise RuntimeError("a data directory does not go back: restore the backup from before the update")
