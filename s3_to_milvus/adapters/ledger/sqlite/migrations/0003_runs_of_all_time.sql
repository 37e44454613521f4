-- Runs of a new ledger begin above those of every ledger that may have been here before it (microseconds since 1970, to
-- the millisecond): rows that stand in Milvus from a ledger that was lost can never pass for rows of this one. Ledgers
-- with runs keep theirs.
INSERT INTO sqlite_sequence (name, seq)
SELECT 'runs', CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) * 1000
WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'runs');
