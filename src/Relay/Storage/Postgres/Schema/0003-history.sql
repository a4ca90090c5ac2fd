-- Which deployment this database is of, and which history of it: what other parts of a deployment (messages on a bus, claims) carry, so that a copy of the database,
-- or a database that was put back to an earlier state, is not taken for the one they knew. docs/decisions/0017.
CREATE TABLE relay.deployment (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    id uuid NOT NULL, -- new where the database is a copy of another: a restored dump, a template
    history uuid NOT NULL, -- new whenever something that was committed may be gone: also after a failover or a restore of the files
    origin text NOT NULL, -- the server's system identifier and the database's number
    timeline integer NOT NULL, -- PostgreSQL's own: counts promotions and restores to a point in time
    asked_at timestamptz NOT NULL DEFAULT now() -- written every few seconds by who wants to know whether writes are taken
) WITH (fillfactor = 10);

CREATE FUNCTION relay.origin() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT c.system_identifier::text || '/' || d.oid::text FROM pg_control_system() c, pg_database d WHERE d.datname = current_database()
$$;

CREATE FUNCTION relay.timeline() RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer
$$;

INSERT INTO relay.deployment (id, history, origin, timeline) VALUES (gen_random_uuid(), gen_random_uuid(), relay.origin(), relay.timeline());

-- Begins a new history where there are signs for one: another server or database, a promotion, or arrival numbers that somebody has seen and the database does not know.
-- Numbers go on a good way beyond all that anybody can have seen, so that none is ever given twice, and whoever has seen the old ones hears the new.
-- p_seen: the newest number that the caller knows.
CREATE FUNCTION relay.notice_history(p_seen bigint, OUT o_deployment uuid, OUT o_history uuid, OUT o_last bigint) LANGUAGE plpgsql AS $$
DECLARE
    known relay.deployment;
BEGIN
    SELECT h.last INTO STRICT o_last FROM relay.head h FOR UPDATE;
    SELECT d.* INTO STRICT known FROM relay.deployment d;
    o_deployment := known.id;
    o_history := known.history;
    IF known.origin <> relay.origin() THEN
        o_deployment := gen_random_uuid();
    ELSIF known.timeline = relay.timeline() AND p_seen <= o_last THEN
        RETURN;
    END IF;
    o_history := gen_random_uuid();
    UPDATE relay.deployment SET id = o_deployment, history = o_history, origin = relay.origin(), timeline = relay.timeline();
    IF known.origin = relay.origin() OR p_seen > o_last THEN
        o_last := greatest(o_last, p_seen) + 1048576;
        UPDATE relay.head SET last = o_last, removals = removals + 1;
    END IF;
END $$;

-- Goes before the events of every batch, in its transaction: takes the head's lock and makes sure that no number is given that the writer has seen before.
CREATE FUNCTION relay.enter(p_seen bigint) RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
    head bigint;
    known relay.deployment;
BEGIN
    SELECT h.last INTO STRICT head FROM relay.head h FOR UPDATE;
    SELECT d.* INTO STRICT known FROM relay.deployment d;
    IF p_seen <= head AND known.timeline = relay.timeline() THEN
        RETURN known.history;
    END IF;
    RETURN (SELECT n.o_history FROM relay.notice_history(p_seen) n);
END $$;

-- What exists only inside encryption is held by no relay: what an earlier version imported goes, and no replica of an earlier version can bring it. The numbers are those of
-- EventKinds.OnlyEncrypted; a test compares them.
SELECT relay.remove_locked(ARRAY(SELECT arrival FROM relay.events
    WHERE kind IN (13, 444, 446, 447, 448, 449, 450, 451, 452, 453, 454, 455, 456, 457, 461, 1200, 1201, 1202, 1210)));
ALTER TABLE relay.events ADD CONSTRAINT events_never_stored
    CHECK (kind NOT IN (13, 444, 446, 447, 448, 449, 450, 451, 452, 453, 454, 455, 456, 457, 461, 1200, 1201, 1202, 1210)) NOT VALID;
