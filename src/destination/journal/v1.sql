-- Events, spool and quarantine. `stored` is Unix time in milliseconds; `size` is what quotas count; `text` is 1
-- where the data is UTF-8 without NUL. The long columns come last, so that a scan need not read them.
CREATE TABLE events (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  stored     INTEGER NOT NULL,
  size       INTEGER NOT NULL,
  id         TEXT NOT NULL,
  type       TEXT NOT NULL,
  source     TEXT NOT NULL,
  time       TEXT,
  received   TEXT,
  text       INTEGER NOT NULL,
  sha256     TEXT NOT NULL,
  attributes TEXT NOT NULL,
  data       BLOB NOT NULL
) STRICT;

-- What waits for its broker. `unknown`: sent, and the broker may yet confirm it.
CREATE TABLE spool (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  stored      INTEGER NOT NULL,
  size        INTEGER NOT NULL,
  destination TEXT NOT NULL,
  route       TEXT NOT NULL,
  lane        TEXT NOT NULL,
  keyed       INTEGER NOT NULL,
  state       TEXT NOT NULL CHECK (state IN ('sendable', 'unknown')),
  attempts    INTEGER NOT NULL DEFAULT 0,
  id          TEXT NOT NULL,
  type        TEXT NOT NULL,
  source      TEXT NOT NULL,
  time        TEXT,
  received    TEXT,
  text        INTEGER NOT NULL,
  sha256      TEXT NOT NULL,
  attributes  TEXT NOT NULL,
  data        BLOB NOT NULL
) STRICT;

-- `destination` is where the event was to go when its broker would not take it, else NULL.
CREATE TABLE quarantine (
  seq         INTEGER PRIMARY KEY AUTOINCREMENT,
  stored      INTEGER NOT NULL,
  size        INTEGER NOT NULL,
  destination TEXT,
  reason      TEXT NOT NULL,
  detail      TEXT,
  violations  TEXT,
  id          TEXT NOT NULL,
  type        TEXT NOT NULL,
  source      TEXT NOT NULL,
  time        TEXT,
  received    TEXT,
  text        INTEGER NOT NULL,
  sha256      TEXT NOT NULL,
  attributes  TEXT NOT NULL,
  data        BLOB NOT NULL
) STRICT;

-- Kept in the same transactions as the rows: a count would read the whole file.
CREATE TABLE totals (
  name  TEXT PRIMARY KEY,
  rows  INTEGER NOT NULL,
  bytes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO totals VALUES ('events', 0, 0), ('spool', 0, 0), ('quarantine', 0, 0);

-- `probes` is written to prove that the file takes writes again.
CREATE TABLE meta (
  one    INTEGER PRIMARY KEY CHECK (one = 1),
  probes INTEGER NOT NULL
) STRICT;
INSERT INTO meta VALUES (1, 0);
