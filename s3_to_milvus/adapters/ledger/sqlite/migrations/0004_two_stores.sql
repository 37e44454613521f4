-- What tells this ledger from all others: it is written into each collection, which shows whose it is.
CREATE TABLE identity (mark TEXT NOT NULL) STRICT;
INSERT INTO identity (mark) VALUES (lower(hex(randomblob(16))));

-- The greatest id of an object's rows, and the greatest that any record of a collection ever named. A vector store
-- whose newest rows are missing, or that holds newer ones, is another state than the one the ledger describes.
ALTER TABLE objects ADD COLUMN last_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN last_id INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN is_marked INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN is_suspect INTEGER NOT NULL DEFAULT 0;
UPDATE objects SET last_id = coalesce((SELECT max(json_extract(r.value, '$[1]')) FROM json_each(objects.ids) r), 0)
WHERE has_rows = 1;
UPDATE collections
SET last_id = coalesce((SELECT max(o.last_id) FROM objects o WHERE o.collection = collections.name), 0);
CREATE INDEX objects_newest ON objects (collection, last_id) WHERE has_rows = 1;
