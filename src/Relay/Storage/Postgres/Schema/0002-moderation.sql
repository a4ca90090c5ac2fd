-- What the operator decided while the relays ran (NIP-86), the same for all replicas. Who changes it names the version that was read.
CREATE TABLE relay.moderation (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version bigint NOT NULL,
    state text NOT NULL
);
INSERT INTO relay.moderation (version, state) VALUES (0, '{}');
