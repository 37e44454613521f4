-- Bodies of events that nobody understands, to be looked at and played again.
CREATE TABLE quarantine (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  received_at REAL NOT NULL,
  source TEXT NOT NULL,
  reason TEXT NOT NULL,
  body TEXT NOT NULL
) STRICT;

-- What outside services call jobs that were started there, so that a crash does not start (and pay) them twice.
CREATE TABLE tickets (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  put_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE access_keys (
  name TEXT PRIMARY KEY,
  role INTEGER NOT NULL,
  digest TEXT NOT NULL UNIQUE,
  created_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
