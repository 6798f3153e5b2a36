"""The triggers, as text: what the audit tables and Waffle's side tables refuse, and what counts
the writes of flags, whoever makes them."""

# Every name in these statements is a constant of ours.
# ruff: noqa: S608

from __future__ import annotations

from dataclasses import dataclass

MARK = "guarded:"  # begins every refusal, so that the canary can tell it from a constraint's
ENTRY, STREAM, DECISION = "routing_entry", "routing_stream", "routing_decision"
CHAINED = (ENTRY, DECISION)
CLOSED = ("routing_flag_users", "routing_flag_groups")
FLAGS, TOUCHES = "routing_flagstate", "routing_flagtouch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A trigger: `when` is the event clause, `body` SQLite's body or PostgreSQL's function.

    `names` is another table that the body names, empty for none.
    """

    name: str
    table: str
    when: str
    body: str
    names: str = ""


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
    guards += [
        Guard(
            name=f"counted_{FLAGS}_{verb.lower()}",
            table=FLAGS,
            when=f"BEFORE {verb} ON {FLAGS}",
            body=_count(_WHERE_TOUCHED[verb]),
            names=TOUCHES,
        )
        for verb in ("INSERT", "UPDATE", "DELETE")
    ]
    return tuple(guards)


# A REPLACE also deletes the row with the same id, be it of another environment, unseen by the
# trigger of deletes.
_REPLACED = f"SELECT environment_id FROM {FLAGS} WHERE id = NEW.id"
_WHERE_TOUCHED = {
    "INSERT": f"SELECT NEW.environment_id AS environment_id UNION {_REPLACED}",
    "UPDATE": "SELECT OLD.environment_id AS environment_id UNION SELECT NEW.environment_id "
    f"UNION {_REPLACED}",
    "DELETE": "SELECT OLD.environment_id AS environment_id",
}


def _count(where: str) -> str:
    return (
        f"INSERT INTO {TOUCHES} (environment_id, touched) SELECT environment_id, 0 "
        f"FROM ({where}) WHERE environment_id NOT IN (SELECT environment_id FROM {TOUCHES}); "
        f"UPDATE {TOUCHES} SET touched = touched + 1 WHERE environment_id IN ({where});"
    )


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


def _counts() -> str:
    def one(row: str) -> str:
        return f"""
    INSERT INTO {TOUCHES} AS t (environment_id, touched) VALUES ({row}.environment_id, 1)
      ON CONFLICT (environment_id) DO UPDATE SET touched = t.touched + 1;"""

    return f"""
BEGIN
  IF TG_OP <> 'INSERT' THEN{one("OLD")}
  END IF;
  IF TG_OP = 'INSERT' THEN{one("NEW")}
  ELSIF TG_OP = 'UPDATE' THEN
    IF NEW.environment_id <> OLD.environment_id THEN{one("NEW")}
    END IF;
  END IF;
  RETURN NULL;
END
"""


_COUNTS_ALL = f"""
BEGIN
  UPDATE {TOUCHES} SET touched = touched + 1;
  RETURN NULL;
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
    for name, when, body in (
        ("write", f"AFTER INSERT OR UPDATE OR DELETE ON {FLAGS} FOR EACH ROW", _counts()),
        ("truncate", f"AFTER TRUNCATE ON {FLAGS} FOR EACH STATEMENT", _COUNTS_ALL),
    ):
        guards.append(
            Guard(name=f"counted_{FLAGS}_{name}", table=FLAGS, when=when, body=body, names=TOUCHES)
        )
    return tuple(guards)
