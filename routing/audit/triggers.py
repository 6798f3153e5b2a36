"""The triggers, as text: what the audit tables and Waffle's side tables refuse."""

# Every name in these statements is a constant of ours.
# ruff: noqa: S608

from __future__ import annotations

from dataclasses import dataclass

MARK = "guarded:"  # begins every refusal, so that the canary can tell it from a constraint's
ENTRY, STREAM, DECISION = "routing_entry", "routing_stream", "routing_decision"
CHAINED = (ENTRY, DECISION)
CLOSED = ("routing_flag_users", "routing_flag_groups")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A trigger: `when` is the event clause, `body` SQLite's body or PostgreSQL's function."""

    name: str
    table: str
    when: str
    body: str


# SQLite: REPLACE deletes rows without firing delete triggers, unless recursive_triggers is
# on; so the insert triggers refuse every row that collides with an old one on any unique key.
def _does_not_follow(table: str) -> str:
    return f"""
     NEW.seq IS NOT (SELECT COALESCE(MAX(seq), 0) + 1 FROM {table} WHERE stream = NEW.stream)
  OR NEW.prev IS NOT COALESCE(
       (SELECT hash FROM {table} WHERE stream = NEW.stream ORDER BY seq DESC LIMIT 1), NEW.prev)
  OR EXISTS (SELECT 1 FROM {table} WHERE hash = NEW.hash)
"""


def _abort(what: str) -> str:
    return f"SELECT RAISE(ABORT, '{MARK} {what}');"


def sqlite() -> tuple[Guard, ...]:
    """Return the triggers of a SQLite database."""
    guards = [
        Guard(
            name=f"audit_{table}_no_{verb.lower()}",
            table=table,
            when=f"BEFORE {verb} ON {table}",
            body=_abort(f"{table} is append-only, {verb} is refused"),
        )
        for table in (*CHAINED, STREAM)
        for verb in ("UPDATE", "DELETE")
    ]
    guards += [
        Guard(
            name=f"audit_{table}_append",
            table=table,
            when=f"BEFORE INSERT ON {table} WHEN {_does_not_follow(table)}",
            body=_abort(f"{table} is append-only, the row does not follow the last one"),
        )
        for table in CHAINED
    ]
    guards += [
        Guard(
            name=f"audit_{STREAM}_append",
            table=STREAM,
            when=f"BEFORE INSERT ON {STREAM} "
            f"WHEN EXISTS (SELECT 1 FROM {STREAM} WHERE name = NEW.name)",
            body=_abort(f"{STREAM} is append-only, this stream is open already"),
        ),
    ]
    guards += [
        Guard(
            name=f"closed_{table}",
            table=table,
            when=f"BEFORE INSERT ON {table}",
            body=_abort(f"{table} stays empty, flags are set per environment"),
        )
        for table in CLOSED
    ]
    return tuple(guards)


# PostgreSQL: one function per trigger, so that the text of each can be compared.
_REFUSE = f"""
BEGIN
  RAISE EXCEPTION '{MARK} % is append-only, % is refused', TG_TABLE_NAME, TG_OP
    USING ERRCODE = 'integrity_constraint_violation';
END
"""


def _append(table: str) -> str:
    return f"""
DECLARE
  last record;
BEGIN
  SELECT seq, hash INTO last FROM {table} WHERE stream = NEW.stream ORDER BY seq DESC LIMIT 1;
  IF (FOUND AND (NEW.seq IS DISTINCT FROM last.seq + 1 OR NEW.prev IS DISTINCT FROM last.hash))
     OR (NOT FOUND AND NEW.seq IS DISTINCT FROM 1) THEN
    RAISE EXCEPTION '{MARK} {table} is append-only, the row does not follow the last one'
      USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END
"""


_STAY_EMPTY = f"""
BEGIN
  RAISE EXCEPTION '{MARK} % stays empty, flags are set per environment', TG_TABLE_NAME
    USING ERRCODE = 'integrity_constraint_violation';
END
"""


def postgresql() -> tuple[Guard, ...]:
    """Return the triggers of a PostgreSQL database."""
    guards = []
    for table in (*CHAINED, STREAM):
        for name, when in (
            ("no_change", f"BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW"),
            ("no_truncate", f"BEFORE TRUNCATE ON {table} FOR EACH STATEMENT"),
        ):
            guards.append(
                Guard(name=f"audit_{table}_{name}", table=table, when=when, body=_REFUSE)
            )
    for table in CHAINED:
        when = f"BEFORE INSERT ON {table} FOR EACH ROW"
        body = _append(table)
        guards.append(Guard(name=f"audit_{table}_append", table=table, when=when, body=body))
    for table in CLOSED:
        when = f"BEFORE INSERT ON {table} FOR EACH ROW"
        guards.append(Guard(name=f"closed_{table}", table=table, when=when, body=_STAY_EMPTY))
    return tuple(guards)
