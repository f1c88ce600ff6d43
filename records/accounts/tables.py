"""The tables of accounts, sessions and attempts to sign in."""

from __future__ import annotations

import sqlalchemy as sa

from core.storage.database import METADATA, Key

accounts = sa.Table(
    "accounts",
    METADATA,
    sa.Column("n", Key, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    # Its Argon2 hash, or the issuer and the subject of OpenID Connect.
    sa.Column("password", sa.Text, nullable=False),
    sa.Column("created_us", sa.BigInteger, nullable=False),
    sa.Column("closed_us", sa.BigInteger),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("locked_until_us", sa.BigInteger, nullable=False),
    sa.Index("accounts_by_name", "name", unique=True),
)
sessions = sa.Table(
    "sessions",
    METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("account", sa.BigInteger, nullable=False),
    sa.Column("form_token", sa.Text, nullable=False),
    sa.Column("opened_us", sa.BigInteger, nullable=False),
    sa.Column("used_us", sa.BigInteger, nullable=False),
    sa.Index("sessions_by_account", "account"),
)
sign_in_attempts = sa.Table(
    "sign_in_attempts",
    METADATA,
    sa.Column("network", sa.Text, primary_key=True),
    sa.Column("began_us", sa.BigInteger, nullable=False),  # with the first of these failures
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("is_reported", sa.Boolean, nullable=False),  # whether the audit log has a refusal of them
)
