-- The ledger: one row per object, one work row per dirty object, and what stands beside them.

-- What is indexed. `key` holds UTF-8 bytes, so that it sorts as S3 lists and undecodable file names survive.
-- `outcome` NULL: no finished look yet. `generation` counts only while no work row does. `ids` and `garbage` are JSON;
-- long values stand last, so that a scan never reads their pages.
CREATE TABLE objects (
  oid INTEGER PRIMARY KEY,
  bucket TEXT NOT NULL,
  key BLOB NOT NULL,
  object_id BLOB NOT NULL UNIQUE,
  generation INTEGER NOT NULL DEFAULT 0,
  outcome TEXT,
  etag TEXT NOT NULL DEFAULT '',
  size_bytes INTEGER NOT NULL DEFAULT 0,
  recipe TEXT NOT NULL DEFAULT '',
  has_rows INTEGER NOT NULL DEFAULT 0,
  version_id TEXT,
  modified_at REAL,
  content_hash TEXT NOT NULL DEFAULT '',
  collection TEXT NOT NULL DEFAULT '',
  run INTEGER NOT NULL DEFAULT 0,
  chunk_count INTEGER NOT NULL DEFAULT 0,
  indexed_at REAL NOT NULL DEFAULT 0,
  media_type TEXT NOT NULL DEFAULT '',
  error_code TEXT NOT NULL DEFAULT '',
  error TEXT NOT NULL DEFAULT '',
  ids TEXT NOT NULL DEFAULT '[]',
  garbage TEXT,
  UNIQUE (bucket, key)
) STRICT;

-- The queue. `due` is ready-at, back-off-until and lease-until at once; NULL: dead letter. `run` is the claim that
-- holds the object (NULL: none) and fences every write of it. `suspicion` 0 none, 1 takeover, 2 re-check.
-- `is_settled`: nothing observed waits here (a dead letter, or only a re-check). `next_*`: observed during a claim.
CREATE TABLE work (
  oid INTEGER PRIMARY KEY REFERENCES objects,
  lane INTEGER NOT NULL,
  due REAL,
  generation INTEGER NOT NULL,
  dirty_since REAL NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  deaths INTEGER NOT NULL DEFAULT 0,
  suspicion INTEGER NOT NULL DEFAULT 0,
  is_retry INTEGER NOT NULL DEFAULT 0,
  is_settled INTEGER NOT NULL DEFAULT 0,
  owner TEXT,
  run INTEGER,
  run_generation INTEGER NOT NULL DEFAULT 0,
  is_committed INTEGER NOT NULL DEFAULT 0,
  next_since REAL,
  next_is_retry INTEGER NOT NULL DEFAULT 0,
  error_code TEXT NOT NULL DEFAULT '',
  error TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX work_due ON work (lane, due) WHERE due IS NOT NULL;

-- The timeline. AUTOINCREMENT: a run id is never given twice, whatever was deleted. `object` is the first 8 bytes of
-- the object's id. `is_gone`: its object was forgotten; such runs are dropped after a while.
CREATE TABLE runs (
  run INTEGER PRIMARY KEY AUTOINCREMENT,
  object INTEGER NOT NULL,
  bucket TEXT NOT NULL,
  key BLOB NOT NULL,
  attempt INTEGER NOT NULL,
  started_at REAL NOT NULL,
  finished_at REAL,
  fresh_s REAL,
  is_gone INTEGER NOT NULL DEFAULT 0,
  action TEXT NOT NULL DEFAULT '',
  outcome TEXT NOT NULL DEFAULT 'running',
  error_code TEXT NOT NULL DEFAULT '',
  error TEXT NOT NULL DEFAULT '',
  stats TEXT
) STRICT;
CREATE INDEX runs_object ON runs (object);
CREATE INDEX runs_gone ON runs (run) WHERE is_gone = 1;

-- Journal entries that are not delivered yet. AUTOINCREMENT: journals drop doubles by id.
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  due REAL NOT NULL,
  bucket TEXT NOT NULL,
  key BLOB NOT NULL,
  action TEXT NOT NULL,
  outcome TEXT NOT NULL,
  started_at REAL NOT NULL,
  elapsed_s REAL NOT NULL,
  message TEXT NOT NULL
) STRICT;

-- Shared rate limits: when the next unit is free (GCRA).
CREATE TABLE limits (
  name TEXT PRIMARY KEY,
  free_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE collections (
  name TEXT PRIMARY KEY,
  label BLOB NOT NULL,
  dim INTEGER NOT NULL,
  embedder TEXT NOT NULL,
  UNIQUE (label, embedder)
) STRICT;

CREATE TABLE sources (
  uri BLOB PRIMARY KEY,
  name TEXT NOT NULL,
  prefix BLOB NOT NULL,
  is_paused INTEGER NOT NULL,
  last_scan_at REAL
) STRICT;

-- Figures kept while writing, so that a dashboard never counts rows: ('waiting', bucket), ('chunks', collection), ...
CREATE TABLE counters (
  what TEXT NOT NULL,
  name TEXT NOT NULL,
  n INTEGER NOT NULL,
  PRIMARY KEY (what, name)
) STRICT, WITHOUT ROWID;
