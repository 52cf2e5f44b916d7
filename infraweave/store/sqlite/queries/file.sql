-- The file as a whole: migrations, health and size.

-- write_page: write a page, to learn whether the file can be written
INSERT INTO pulse (one, beat) VALUES (1, 1) ON CONFLICT (one) DO UPDATE SET beat = beat + 1;

-- record_migration: record that a migration was applied
INSERT INTO migrations (version, name, applied_at) VALUES (?, ?, ?);

-- schema_version: the newest migration that was applied
SELECT max(version) FROM migrations;

-- any_table: whether there is any table
SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 1;

-- pages: the number of pages, the number of free pages, and the page size
SELECT page_count, freelist_count, page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size;

-- quick_check: the first structural fault of the file, or 'ok'
PRAGMA quick_check(1);

-- key: a key that the server signs with
SELECT key FROM keys WHERE name = :name;
