-- `deaths` counts claims that were never resolved; after the first one only those whose object was being read
-- (`is_begun`). `not_before` is when an object with deaths is read at the latest (NULL: nobody decided since the last).
ALTER TABLE work ADD COLUMN is_begun INTEGER NOT NULL DEFAULT 0;
ALTER TABLE work ADD COLUMN not_before REAL;

-- Documents were buried because the service died, not their parser, and nobody can tell them apart now: all of them get
-- another try.
UPDATE work SET due = CAST(strftime('%s', 'now') AS REAL)
WHERE due IS NULL AND run IS NULL AND error_code = 'parser_crashed'
  AND oid IN (SELECT oid FROM objects WHERE outcome = 'failed');
