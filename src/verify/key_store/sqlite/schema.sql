CREATE TABLE tollgate_api_keys (
    id         TEXT PRIMARY KEY NOT NULL,           -- the public name of the key
    client     TEXT NOT NULL,                       -- whose key it is
    digest     TEXT NOT NULL UNIQUE                 -- 'sha256:' and 64 lower-case hex digits, of the whole key
               CHECK (length(digest) = 71 AND substr(digest, 1, 7) = 'sha256:'
                      AND substr(digest, 8) NOT GLOB '*[^0-9a-f]*'),
    scopes     TEXT NOT NULL DEFAULT '[]' CHECK (json_type(scopes) = 'array'),     -- '["orders:read"]'
    roles      TEXT NOT NULL DEFAULT '[]' CHECK (json_type(roles) = 'array'),
    plan       TEXT,
    addresses  TEXT NOT NULL DEFAULT '[]' CHECK (json_type(addresses) = 'array'),  -- '["203.0.113.0/24"]'
    not_before INTEGER,                             -- Unix seconds
    expires    INTEGER,
    revoked    INTEGER NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    created    INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
    last_used  INTEGER
) STRICT;

-- Which keys changed, in order. Triggers fill it, whoever changes keys, and keep the last 10,000.
CREATE TABLE tollgate_key_changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    digest TEXT NOT NULL
) STRICT;

CREATE TRIGGER tollgate_key_added AFTER INSERT ON tollgate_api_keys BEGIN
    INSERT INTO tollgate_key_changes (digest) VALUES (new.digest);
    DELETE FROM tollgate_key_changes WHERE number <= last_insert_rowid() - 10000;
END;

CREATE TRIGGER tollgate_key_changed
AFTER UPDATE OF id, client, digest, scopes, roles, plan, addresses, not_before, expires, revoked
ON tollgate_api_keys BEGIN
    INSERT INTO tollgate_key_changes (digest) VALUES (old.digest);
    INSERT INTO tollgate_key_changes (digest) SELECT new.digest WHERE new.digest <> old.digest;
    DELETE FROM tollgate_key_changes WHERE number <= last_insert_rowid() - 10000;
END;

CREATE TRIGGER tollgate_key_removed AFTER DELETE ON tollgate_api_keys BEGIN
    INSERT INTO tollgate_key_changes (digest) VALUES (old.digest);
    DELETE FROM tollgate_key_changes WHERE number <= last_insert_rowid() - 10000;
END;
