"""Migrations of the database: one file per step in ``versions``, executed by Alembic.

A released step is never changed. Its number is in its name: ``v0002_what.py`` has
``revision = "0002"`` and ``down_revision = "0001"``.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep
    from alembic.script import ScriptDirectory

HEAD = "0014"
"""The newest step."""
_VERSION = sa.table("alembic_version", sa.column("version_num", sa.Text))


def revision(connection: sa.Connection) -> str | None:
    """The last step that was applied to a database; None if it has no tables."""
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    number: str | None = connection.execute(sa.select(_VERSION.c.version_num)).scalar()
    return number


def upgrade(connection: sa.Connection, to: str = HEAD) -> None:
    """Migrate the tables to a step, by default to the newest, within the open transaction."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    script = _script()

    def steps(current: Any, _context: MigrationContext) -> Iterable[RevisionStep]:
        return script._upgrade_revs(to, current)

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection)
        environment.run_migrations()


@cache
def _script() -> ScriptDirectory:
    """The steps; Alembic compiles their files at every load, so they are loaded once in a process."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(Path(__file__).parent))
