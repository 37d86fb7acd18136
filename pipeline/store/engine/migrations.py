"""The tables, as sqlite-utils migrations in the order in which they were made.

Moments are INTEGER microseconds since 1970 (UTC). The rows that the hot path touches are narrow: bodies stand in
`payload`, and the indexes that claims use hold open rows only, so that a million ended jobs cost a claim nothing.
"""

from collections.abc import Callable

from sqlite_utils import Database, Migrations

FIRST = """
-- Bodies: a job's event (only content), or a result (status, headers as JSON, content).
CREATE TABLE payload (
    id INTEGER PRIMARY KEY,
    status INTEGER,
    headers TEXT,
    content BLOB NOT NULL
) STRICT;

CREATE TABLE job (
    id TEXT PRIMARY KEY,
    function TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    priority INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    run INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    round INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    timeout_s REAL NOT NULL,
    tags TEXT,
    parent_id TEXT,
    depth INTEGER NOT NULL,
    error TEXT,
    event_id INTEGER NOT NULL,
    lease_owner TEXT,
    lease_token INTEGER,
    lease_expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX job_queued ON job (function, priority, id) WHERE state = 'queued';
CREATE INDEX job_due ON job (due_at) WHERE state IN ('scheduled', 'retrying');
CREATE INDEX job_running ON job (lease_owner) WHERE state = 'running';
CREATE INDEX job_by_function ON job (function, id);
CREATE INDEX job_unusual ON job (state, id) WHERE state IN ('scheduled', 'retrying', 'failed', 'cancelled', 'expired');

-- Ended runs only: the current run is on the job's own row. A job's result is that of its last run.
CREATE TABLE run (
    job_id TEXT NOT NULL,
    run INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    round INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    error TEXT,
    result_id INTEGER,
    PRIMARY KEY (job_id, run)
) STRICT, WITHOUT ROWID;

-- Log lines in chunks: a JSON list of [at, stream, level, text], numbered from first_number.
CREATE TABLE log (
    job_id TEXT NOT NULL,
    first_number INTEGER NOT NULL,
    run INTEGER NOT NULL,
    count INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    lines TEXT NOT NULL,
    PRIMARY KEY (job_id, first_number)
) STRICT;

CREATE TABLE message (
    job_id TEXT NOT NULL,
    id TEXT NOT NULL,
    facts TEXT NOT NULL,
    result_id INTEGER,
    PRIMARY KEY (job_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    message_id TEXT NOT NULL,
    type TEXT NOT NULL,
    job_id TEXT NOT NULL,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    attempt INTEGER NOT NULL,
    max_attempts INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    delivered_at INTEGER,
    last_error TEXT,
    lease_owner TEXT,
    lease_token INTEGER,
    lease_expires_at INTEGER
) STRICT, WITHOUT ROWID;
-- A message belongs to one job: this is unique on (message, destination, recipient), and finds a job's deliveries.
CREATE UNIQUE INDEX delivery_once ON delivery (job_id, message_id, destination, recipient);
CREATE INDEX delivery_pending ON delivery (destination, id) WHERE state = 'pending';
CREATE INDEX delivery_due ON delivery (due_at) WHERE state = 'retrying';
CREATE INDEX delivery_sending ON delivery (lease_owner) WHERE state = 'sending';
CREATE INDEX delivery_unusual ON delivery (state, id) WHERE state IN ('retrying', 'dead', 'skipped', 'cancelled');
CREATE INDEX delivery_by_destination ON delivery (destination, id);

CREATE TABLE attempt (
    delivery_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    trigger TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    duration_s REAL NOT NULL,
    verdict TEXT NOT NULL,
    class TEXT,
    message TEXT NOT NULL,
    status INTEGER,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    remote_address TEXT,
    retry_after_s REAL,
    next_attempt_at INTEGER,
    why TEXT NOT NULL,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

-- What must be known of a destination after a restart.
CREATE TABLE destination (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    last_success_at INTEGER
) STRICT, WITHOUT ROWID;

-- Synchronous calls, noted after they were answered.
CREATE TABLE invocation (
    id TEXT PRIMARY KEY,
    function TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT,
    at INTEGER NOT NULL,
    duration_s REAL NOT NULL,
    output TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

CHILDREN = """
CREATE INDEX job_by_parent ON job (parent_id, id) WHERE parent_id IS NOT NULL;
"""

PROGRESS = """
ALTER TABLE job ADD COLUMN progress TEXT;
"""

EXPIRY = """
-- Until when a job must have been started; only while it waits for its first run, and only where there is a limit.
ALTER TABLE job ADD COLUMN expires_at INTEGER;
CREATE INDEX job_expires ON job (expires_at) WHERE expires_at IS NOT NULL AND state IN ('scheduled', 'queued');
-- With the moment in it, so that a claim passes by what has expired without looking at the rows.
DROP INDEX job_queued;
CREATE INDEX job_queued ON job (function, priority, id, expires_at) WHERE state = 'queued';
"""

CALLERS = """
-- Who made a job and of what: JSON, only where there is anything to say.
ALTER TABLE job ADD COLUMN origin TEXT;
ALTER TABLE job ADD COLUMN batch_id TEXT;
ALTER TABLE job ADD COLUMN batch_index INTEGER;
-- The place in a function's queue: claims go by (priority, turn, id), see `insertions`.
ALTER TABLE job ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
DROP INDEX job_queued;
CREATE INDEX job_queued ON job (function, priority, turn, id, expires_at) WHERE state = 'queued';
CREATE UNIQUE INDEX job_of_batch ON job (batch_id, batch_index) WHERE batch_id IS NOT NULL;

CREATE TABLE job_tag (
    tag TEXT NOT NULL,
    job_id TEXT NOT NULL,
    PRIMARY KEY (tag, job_id)
) STRICT, WITHOUT ROWID;

-- What a key that a caller chose has led to: a job's id, or a batch's.
CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    made_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (owner, scope, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (at);

-- A batch counts its ended jobs, so that its progress costs no look at them.
CREATE TABLE batch (
    id TEXT PRIMARY KEY,
    function TEXT NOT NULL,
    state TEXT NOT NULL,
    round INTEGER NOT NULL,
    owner TEXT,
    first_turn INTEGER NOT NULL,
    is_cancelled INTEGER NOT NULL,
    total INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    expired INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    closes_at INTEGER,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_receiving ON batch (closes_at) WHERE state = 'receiving';
CREATE INDEX batch_running ON batch (id) WHERE state = 'running';
CREATE INDEX batch_by_function ON batch (function, id);
"""

TRACES = """
ALTER TABLE batch ADD COLUMN traceparent TEXT;
"""

USAGE = """
-- What functions used: counted as runs end, and kept when these are pruned. The day is that of the end, in days since
-- 1970 (UTC); memory is counted in megabytes times microseconds.
CREATE TABLE usage (
    day INTEGER NOT NULL,
    function TEXT NOT NULL,
    calls INTEGER NOT NULL,
    runs INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    run_us INTEGER NOT NULL,
    memory_us INTEGER NOT NULL,
    PRIMARY KEY (day, function)
) STRICT, WITHOUT ROWID;
"""

PAUSES = """
ALTER TABLE destination ADD COLUMN paused_at INTEGER;
ALTER TABLE destination ADD COLUMN not_before INTEGER;
"""

REPLAYS = """
-- How many attempts were made before the last replay, and when that was.
ALTER TABLE delivery ADD COLUMN spent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN replayed_at INTEGER;
"""

DESTINATION_REPLAYS = """
-- The message id that a replay gave a delivery, in the place of the message's own.
ALTER TABLE delivery ADD COLUMN new_message_id TEXT;

-- Replays of destinations; of one destination only one runs at a time. What the cursor has passed is done.
CREATE TABLE replay (
    id TEXT PRIMARY KEY,
    destination TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    states TEXT NOT NULL,
    rate TEXT NOT NULL,
    is_renewing INTEGER NOT NULL,
    cursor TEXT NOT NULL,
    total INTEGER,
    done INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX replay_running ON replay (destination) WHERE state = 'running';
CREATE INDEX replay_by_destination ON replay (destination, id);
"""


HEALTH = """
-- How a destination fares, as JSON: failures in a row, its breaker, why it is disabled.
ALTER TABLE destination ADD COLUMN health TEXT;
"""


ALERTS = """
-- What is to be told of a destination, since when (NULL: nothing), and when the same was last told of it.
CREATE TABLE alert (
    destination TEXT NOT NULL,
    type TEXT NOT NULL,
    kind TEXT NOT NULL,
    wanted_at INTEGER,
    because TEXT NOT NULL,
    delivery_id TEXT,
    told_at INTEGER,
    PRIMARY KEY (destination, type)
) STRICT, WITHOUT ROWID;
-- The alerts that were told: what their messages and deliveries are of.
CREATE TABLE alert_told (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""


CALLBACKS = """
-- The URL that a batch's caller wants to hear at, and the destination that was there for that.
ALTER TABLE batch ADD COLUMN callback TEXT;
ALTER TABLE batch ADD COLUMN callback_to TEXT;
"""

FAILURES = """
-- The last attempt at a destination that failed, as JSON; a success leaves it.
ALTER TABLE destination ADD COLUMN last_failure TEXT;
-- The dead of each destination, to be counted.
CREATE INDEX delivery_dead ON delivery (destination) WHERE state = 'dead';
"""

REPLAYED = """
-- The replay of a destination that opened a delivery last.
ALTER TABLE delivery ADD COLUMN replay_id TEXT;
CREATE INDEX delivery_by_replay ON delivery (replay_id, destination, state) WHERE replay_id IS NOT NULL;
"""

REPLAYS_BY_HAND = """
-- Whether the last replay was of the delivery alone; of those before this was noted nobody knows.
ALTER TABLE delivery ADD COLUMN is_by_hand INTEGER NOT NULL DEFAULT 0;
"""


REJECTS = """
-- What of a batch's last upload is not in it: how many items, and the first of them with the reasons, as JSON.
ALTER TABLE batch ADD COLUMN rejected_total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE batch ADD COLUMN rejected TEXT;
"""


LISTS = """
-- What is pending, or queued, is counted without a look at its rows: the planner wants the state in the index for that.
DROP INDEX delivery_pending;
CREATE INDEX delivery_pending ON delivery (destination, id, due_at, state) WHERE state = 'pending';
DROP INDEX job_queued;
CREATE INDEX job_queued ON job (function, priority, turn, id, expires_at, state) WHERE state = 'queued';
-- What was due long ago, likewise.
DROP INDEX delivery_due;
CREATE INDEX delivery_due ON delivery (due_at, destination, state) WHERE state = 'retrying';
-- The unusual states, also of one destination or function, newest first; the dead are counted by it, too. Three
-- comparisons cost each write less than a list of states, of which SQLite makes a table whenever it looks.
DROP INDEX delivery_dead;
DROP INDEX delivery_unusual;
CREATE INDEX delivery_unusual ON delivery (state, id)
WHERE state <> 'delivered' AND state <> 'sending' AND state <> 'pending';
CREATE INDEX delivery_unusual_of ON delivery (state, destination, id)
WHERE state <> 'delivered' AND state <> 'sending' AND state <> 'pending';
DROP INDEX job_unusual;
CREATE INDEX job_unusual ON job (state, id)
WHERE state <> 'succeeded' AND state <> 'running' AND state <> 'queued';
CREATE INDEX job_unusual_of ON job (state, function, id)
WHERE state <> 'succeeded' AND state <> 'running' AND state <> 'queued';
CREATE INDEX job_unusual_of_batch ON job (state, batch_id, id)
WHERE state <> 'succeeded' AND state <> 'running' AND state <> 'queued' AND batch_id IS NOT NULL;
"""


def migrations() -> Migrations:
    """Return all migrations of the store, oldest first."""
    steps = Migrations("sendoff")

    for name, script in (
        ("first", FIRST),
        ("children", CHILDREN),
        ("progress", PROGRESS),
        ("expiry", EXPIRY),
        ("callers", CALLERS),
        ("traces", TRACES),
        ("usage", USAGE),
        ("pauses", PAUSES),
        ("replays", REPLAYS),
        ("health", HEALTH),
        ("destination replays", DESTINATION_REPLAYS),
        ("alerts", ALERTS),
        ("callbacks", CALLBACKS),
        ("failures", FAILURES),
        ("replayed", REPLAYED),
        ("replays by hand", REPLAYS_BY_HAND),
        ("rejects", REJECTS),
        ("lists", LISTS),
    ):
        steps(name=name)(_running(script))
    return steps


def _running(script: str) -> Callable[[Database], None]:
    # Not executescript(): it commits the migration's transaction first.
    without_comments = "\n".join(line for line in script.splitlines() if not line.startswith("--"))
    statements = [statement for part in without_comments.split(";") if (statement := part.strip())]

    def run(db: Database) -> None:
        for statement in statements:
            db.execute(statement)

    return run
