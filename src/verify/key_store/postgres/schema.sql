CREATE TABLE tollgate_api_keys (
    id         text COLLATE "C" PRIMARY KEY,        -- the public name of the key
    client     text NOT NULL,                       -- whose key it is
    digest     text NOT NULL UNIQUE                 -- 'sha256:' and 64 lower-case hex digits, of the whole key
               CHECK (digest ~ '^sha256:[0-9a-f]{64}$'),
    scopes     text[] NOT NULL DEFAULT '{}',        -- '{orders:read}'
    roles      text[] NOT NULL DEFAULT '{}',
    plan       text,
    addresses  text[] NOT NULL DEFAULT '{}',        -- '{203.0.113.0/24}'
    not_before timestamptz,
    expires    timestamptz,
    revoked    boolean NOT NULL DEFAULT false,
    created    timestamptz NOT NULL DEFAULT now(),
    last_used  timestamptz
);

-- Which keys changed, and in which transaction. A trigger fills it, whoever changes keys; what is
-- older than a day is deleted. NULL stands for all keys.
CREATE TABLE tollgate_key_changes (
    xid    xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    digest text
);
CREATE INDEX tollgate_key_changes_xid ON tollgate_key_changes (xid);
CREATE INDEX tollgate_key_changes_at ON tollgate_key_changes (at);

-- With the rights of its owner: who may change keys needs no rights on the table of changes.
CREATE FUNCTION tollgate_key_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO tollgate_key_changes (digest) VALUES (NULL);
    ELSE
        IF TG_OP <> 'INSERT' THEN
            INSERT INTO tollgate_key_changes (digest) VALUES (OLD.digest);
        END IF;
        IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.digest <> OLD.digest) THEN
            INSERT INTO tollgate_key_changes (digest) VALUES (NEW.digest);
        END IF;
    END IF;
    -- It wakes who listens, once a transaction. What changed is read from the table.
    PERFORM pg_notify('tollgate_keys', '');
    RETURN NULL;
END
$$;
-- So that nobody puts a temporary table of that name before it, or hangs it on a table of their own.
DO $$ BEGIN EXECUTE format(
    'ALTER FUNCTION tollgate_key_changed() SET search_path = %I, pg_temp', current_schema()
); END $$;
REVOKE ALL ON FUNCTION tollgate_key_changed() FROM PUBLIC;

CREATE TRIGGER tollgate_key_changed
AFTER INSERT OR DELETE OR UPDATE OF id, client, digest, scopes, roles, plan, addresses, not_before, expires, revoked
ON tollgate_api_keys FOR EACH ROW EXECUTE FUNCTION tollgate_key_changed();

CREATE TRIGGER tollgate_keys_truncated
AFTER TRUNCATE ON tollgate_api_keys FOR EACH STATEMENT EXECUTE FUNCTION tollgate_key_changed();
