-- The event store. docs/decisions/0008 says why it looks like this.
-- "rank" is the first 8 bytes of the id as a signed number in the same order, so that (created_at, rank DESC) read backwards is NIP-01's
-- answer order: newest first, ties by lowest id.

-- The newest arrival number. Its row lock is what makes one writer at a time of all replicas: numbers are given and committed in the same
-- order and without holes, so whoever has seen n has seen everything up to n.
CREATE TABLE relay.head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    last bigint NOT NULL,
    removals bigint NOT NULL DEFAULT 0 -- how often something was removed, so that replicas forget what they believe stored
) WITH (fillfactor = 10);
INSERT INTO relay.head (last) VALUES (0);

CREATE TABLE relay.events (
    arrival bigint PRIMARY KEY,
    created_at bigint NOT NULL,
    rank bigint NOT NULL,
    expires_at bigint,
    kind integer NOT NULL,
    id bytea NOT NULL,
    author bytea NOT NULL,
    slot bytea
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX events_id ON relay.events (id);
CREATE INDEX events_time ON relay.events (created_at, rank DESC);
CREATE INDEX events_kind ON relay.events (kind, created_at, rank DESC);
CREATE INDEX events_author ON relay.events (author, kind, created_at, rank DESC);
CREATE UNIQUE INDEX events_slot ON relay.events (slot) WHERE slot IS NOT NULL;
CREATE INDEX events_expiry ON relay.events (expires_at) WHERE expires_at IS NOT NULL;

-- The bytes stand apart, so that erasing them concerns a table with one small index. EXTERNAL: base64 of ciphertext does not compress.
-- Up to 8,000 bytes stay in the row; longer ones come padded to whole TOAST chunks, so that a removed one leaves holes of one size.
CREATE TABLE relay.event_bytes (
    arrival bigint PRIMARY KEY,
    json bytea NOT NULL
) WITH (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE relay.event_bytes ALTER COLUMN json SET STORAGE EXTERNAL;

-- key: the letter, with its high bit set when a hash follows, then 32 bytes: a value of 64 hex digits decoded, else its SHA-256.
CREATE TABLE relay.event_tags (
    arrival bigint NOT NULL,
    created_at bigint NOT NULL,
    rank bigint NOT NULL,
    kind integer NOT NULL,
    key bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX event_tags_key ON relay.event_tags (key, created_at, rank DESC) INCLUDE (arrival, kind);
CREATE INDEX event_tags_arrival ON relay.event_tags (arrival);

-- NIP-09 and NIP-62: what must not come back.
CREATE TABLE relay.deleted_ids (id bytea NOT NULL, by_key bytea NOT NULL, PRIMARY KEY (id, by_key));
CREATE TABLE relay.deleted_slots (slot bytea PRIMARY KEY, until bigint NOT NULL);
CREATE TABLE relay.vanished (author bytea PRIMARY KEY, until bigint NOT NULL);

-- Sizes of removed bytes whose place in the table's files is still to be overwritten.
CREATE TABLE relay.erasures (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bytes integer NOT NULL,
    removed_by xid8 NOT NULL DEFAULT pg_current_xact_id()
);

-- Takes events out of every table. The caller holds the head.
CREATE FUNCTION relay.remove(p_arrivals bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    removed integer;
BEGIN
    IF coalesce(cardinality(p_arrivals), 0) = 0 THEN
        RETURN 0;
    END IF;
    WITH gone AS (DELETE FROM relay.event_bytes WHERE arrival = ANY (p_arrivals) RETURNING octet_length(json) AS bytes)
    INSERT INTO relay.erasures (bytes) SELECT bytes FROM gone;
    DELETE FROM relay.event_tags WHERE arrival = ANY (p_arrivals);
    DELETE FROM relay.events WHERE arrival = ANY (p_arrivals);
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$;

CREATE FUNCTION relay.remove_locked(p_arrivals bigint[]) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    UPDATE relay.head SET removals = removals + 1;
    RETURN relay.remove(p_arrivals);
END $$;

-- NIP-40: removes what has expired, at most so many.
CREATE FUNCTION relay.expire(p_now bigint, p_most integer) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM relay.events WHERE expires_at <= p_now) THEN
        RETURN 0;
    END IF;
    UPDATE relay.head SET removals = removals + 1;
    RETURN relay.remove(ARRAY(SELECT arrival FROM relay.events WHERE expires_at <= p_now ORDER BY expires_at LIMIT p_most));
END $$;

-- Writes a run of events whose ids and slots are distinct and none of which deletes. Judges each as the embedded store does:
-- 0 stored, 1 duplicate, 2 superseded, 3 deleted, 4 vanished. Stored ones get the numbers after "before", in order.
CREATE FUNCTION relay.put(
    p_ids bytea[], p_authors bytea[], p_created bigint[], p_ranks bigint[], p_kinds integer[], p_expires bigint[], p_slots bytea[],
    p_json bytea[], p_tag_of integer[], p_tag_keys bytea[], OUT verdicts integer[], OUT before bigint)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan SET jit = off
AS $$
DECLARE
    arrivals bigint[];
    stored bigint;
BEGIN
    -- 1. One writer at a time; every statement after this one sees all that was committed before.
    SELECT last INTO STRICT before FROM relay.head FOR UPDATE;

    -- 2. Judge.
    WITH gone AS MATERIALIZED (
        SELECT t.of, max(v.until) AS until
        FROM unnest(p_tag_of, p_tag_keys) AS t (of, key) JOIN relay.vanished v ON v.author = substr(t.key, 2)
        WHERE get_byte(t.key, 0) = 112 AND p_kinds[t.of] = 1059
        GROUP BY t.of)
    SELECT array_agg(CASE
        WHEN EXISTS (SELECT FROM relay.events e WHERE e.id = i.id) THEN 1
        WHEN i.kind NOT IN (5, 62) AND (
            EXISTS (SELECT FROM relay.deleted_ids d WHERE d.id = i.id AND (d.by_key = i.author OR (i.kind = 1059
                AND EXISTS (SELECT FROM unnest(p_tag_of, p_tag_keys) AS t (of, key) WHERE t.of = i.ord AND t.key = '\x70'::bytea || d.by_key))))
            OR (i.slot IS NOT NULL AND EXISTS (SELECT FROM relay.deleted_slots d WHERE d.slot = i.slot AND d.until >= i.created_at))) THEN 3
        WHEN i.kind <> 62 AND (
            EXISTS (SELECT FROM relay.vanished v WHERE v.author = i.author AND v.until >= i.created_at)
            OR EXISTS (SELECT FROM gone g WHERE g.of = i.ord AND g.until >= i.created_at)) THEN 4
        WHEN i.slot IS NOT NULL AND EXISTS (SELECT FROM relay.events e
            WHERE e.slot = i.slot AND (e.created_at > i.created_at OR (e.created_at = i.created_at AND e.id < i.id))) THEN 2
        ELSE 0 END ORDER BY i.ord)
    INTO verdicts
    FROM unnest(p_ids, p_authors, p_created, p_kinds, p_slots) WITH ORDINALITY AS i (id, author, created_at, kind, slot, ord);

    -- 3. Numbers for those that stay.
    SELECT array_agg(CASE WHEN s.verdict = 0 THEN before + s.n ELSE 0 END ORDER BY s.ord), max(s.n) INTO arrivals, stored
    FROM (SELECT u.verdict, u.ord, count(*) FILTER (WHERE u.verdict = 0) OVER (ORDER BY u.ord) AS n
          FROM unnest(verdicts) WITH ORDINALITY AS u (verdict, ord)) AS s;
    IF stored = 0 THEN
        RETURN;
    END IF;

    -- 4. The older event of the same slot goes (NIP-01).
    IF EXISTS (SELECT FROM unnest(p_slots) AS u (slot) WHERE u.slot IS NOT NULL) THEN
        PERFORM relay.remove(ARRAY(
            SELECT e.arrival FROM unnest(p_slots, arrivals) AS i (slot, arrival) JOIN relay.events e ON e.slot = i.slot WHERE i.arrival > 0));
    END IF;

    -- 5. Store.
    INSERT INTO relay.events (arrival, created_at, rank, expires_at, kind, id, author, slot)
    SELECT i.arrival, i.created_at, i.rank, i.expires_at, i.kind, i.id, i.author, i.slot
    FROM unnest(arrivals, p_created, p_ranks, p_expires, p_kinds, p_ids, p_authors, p_slots)
        AS i (arrival, created_at, rank, expires_at, kind, id, author, slot)
    WHERE i.arrival > 0;
    INSERT INTO relay.event_bytes (arrival, json)
    SELECT i.arrival, i.json FROM unnest(arrivals, p_json) AS i (arrival, json) WHERE i.arrival > 0;
    INSERT INTO relay.event_tags (arrival, created_at, rank, kind, key)
    SELECT arrivals[t.of], p_created[t.of], p_ranks[t.of], p_kinds[t.of], t.key
    FROM unnest(p_tag_of, p_tag_keys) AS t (of, key) WHERE arrivals[t.of] > 0;
    UPDATE relay.head SET last = before + stored;
END $$;

-- NIP-09: stores a deletion and carries it out.
CREATE FUNCTION relay.put_deletion(
    p_ids bytea[], p_authors bytea[], p_created bigint[], p_ranks bigint[], p_kinds integer[], p_expires bigint[], p_slots bytea[],
    p_json bytea[], p_tag_of integer[], p_tag_keys bytea[], p_targets bytea[], p_target_slots bytea[],
    OUT verdicts integer[], OUT before bigint)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    by_whom bytea := p_authors[1];
    at bigint := p_created[1];
BEGIN
    SELECT r.verdicts, r.before INTO verdicts, before
    FROM relay.put(p_ids, p_authors, p_created, p_ranks, p_kinds, p_expires, p_slots, p_json, p_tag_of, p_tag_keys) r;
    IF verdicts[1] <> 0 THEN
        RETURN;
    END IF;
    UPDATE relay.head SET removals = removals + 1;
    INSERT INTO relay.deleted_ids (id, by_key) SELECT DISTINCT u.id, by_whom FROM unnest(p_targets) AS u (id) ON CONFLICT DO NOTHING;
    INSERT INTO relay.deleted_slots (slot, until) SELECT DISTINCT u.slot, at FROM unnest(p_target_slots) AS u (slot)
    ON CONFLICT (slot) DO UPDATE SET until = greatest(relay.deleted_slots.until, excluded.until);
    PERFORM relay.remove(ARRAY(
        SELECT e.arrival FROM relay.events e
        WHERE e.id = ANY (p_targets) AND e.kind NOT IN (5, 62) AND (e.author = by_whom OR (e.kind = 1059
            AND EXISTS (SELECT FROM relay.event_tags t WHERE t.arrival = e.arrival AND t.key = '\x70'::bytea || by_whom)))
        UNION
        SELECT e.arrival FROM relay.events e WHERE e.slot = ANY (p_target_slots) AND e.created_at <= at));
END $$;

-- NIP-62: stores a request to vanish and carries it out: everything of the key up to then, and the wraps addressed to it.
CREATE FUNCTION relay.put_vanish(
    p_ids bytea[], p_authors bytea[], p_created bigint[], p_ranks bigint[], p_kinds integer[], p_expires bigint[], p_slots bytea[],
    p_json bytea[], p_tag_of integer[], p_tag_keys bytea[], OUT verdicts integer[], OUT before bigint)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    who bytea := p_authors[1];
    at bigint := p_created[1];
BEGIN
    SELECT r.verdicts, r.before INTO verdicts, before
    FROM relay.put(p_ids, p_authors, p_created, p_ranks, p_kinds, p_expires, p_slots, p_json, p_tag_of, p_tag_keys) r;
    IF verdicts[1] <> 0 THEN
        RETURN;
    END IF;
    UPDATE relay.head SET removals = removals + 1;
    INSERT INTO relay.vanished (author, until) VALUES (who, at)
    ON CONFLICT (author) DO UPDATE SET until = greatest(relay.vanished.until, excluded.until);
    PERFORM relay.remove(ARRAY(
        SELECT e.arrival FROM relay.events e WHERE e.author = who AND e.created_at <= at AND e.kind <> 62
        UNION
        SELECT t.arrival FROM relay.event_tags t WHERE t.key = '\x70'::bytea || who AND t.created_at <= at AND t.kind = 1059));
END $$;
