-- Whoever holds a plan: one buyer, with all of their addresses and keys.
CREATE TABLE holders (
    id         TEXT PRIMARY KEY,
    -- What the operator calls them.
    name       TEXT UNIQUE,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE addresses (
    chain     TEXT NOT NULL,
    address   TEXT NOT NULL,
    holder_id TEXT NOT NULL REFERENCES holders (id),
    network   TEXT,
    linked_at INTEGER NOT NULL,
    PRIMARY KEY (chain, address)
) STRICT, WITHOUT ROWID;

CREATE INDEX addresses_holder ON addresses (holder_id);

-- In earlier books each subscription had keys of its own. It keeps them, and a holder of its own, so that nothing that
-- was sold is lost; the payer's address leads to the newest.
INSERT INTO holders SELECT 'hol_' || substr(id, 5), NULL, created_at FROM subscriptions;
INSERT INTO addresses
    SELECT s.chain, s.payer, 'hol_' || substr(s.id, 5), (SELECT p.chain FROM payments p WHERE p.id = s.payment_id),
           s.created_at
    FROM subscriptions s
    WHERE s.payer <> '' AND s.id = (SELECT n.id FROM subscriptions n WHERE n.chain = s.chain AND n.payer = s.payer
                                    ORDER BY n.created_at DESC, n.id LIMIT 1);

CREATE TABLE subscriptions_4 (
    id          TEXT PRIMARY KEY,
    holder_id   TEXT NOT NULL REFERENCES holders (id),
    -- The payment that bought it; none for what the operator gave.
    payment_id  TEXT UNIQUE,
    chain       TEXT NOT NULL,
    payer       TEXT NOT NULL,
    plan        TEXT NOT NULL,
    key_prefix  TEXT NOT NULL,
    expires_at  INTEGER NOT NULL,
    units       INTEGER CHECK (units >= 0),
    used        INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0),
    leased      INTEGER NOT NULL DEFAULT 0 CHECK (leased >= 0),
    created_at  INTEGER NOT NULL,
    -- What took its place.
    replaced_by TEXT,
    -- Whether it took over what was left of the one before it.
    extends     INTEGER NOT NULL DEFAULT 0,
    CHECK (units IS NULL OR used + leased <= units)
) STRICT, WITHOUT ROWID;
INSERT INTO subscriptions_4
    SELECT id, 'hol_' || substr(id, 5), payment_id, chain, payer, plan, key_prefix, expires_at, units, used, leased,
           created_at, NULL, 0
    FROM subscriptions;

CREATE TABLE keys_4 (
    id         TEXT PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    holder_id  TEXT NOT NULL REFERENCES holders (id),
    origin     TEXT NOT NULL CHECK (origin IN ('sold', 'issued', 'imported')),
    prefix     TEXT,
    hint       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO keys_4
    SELECT 'key_' || substr(s.id, 5), k.hash, 'hol_' || substr(s.id, 5), 'sold', s.key_prefix, s.key_prefix, k.created_at,
           NULL
    FROM keys k JOIN subscriptions s ON s.id = k.subscription_id;

DROP TABLE keys;
DROP TABLE subscriptions;
ALTER TABLE subscriptions_4 RENAME TO subscriptions;
ALTER TABLE keys_4 RENAME TO keys;

-- One subscription of a holder's is current.
CREATE UNIQUE INDEX subscriptions_current ON subscriptions (holder_id) WHERE replaced_by IS NULL;
CREATE INDEX subscriptions_holder ON subscriptions (holder_id, created_at);
CREATE INDEX subscriptions_created ON subscriptions (created_at);
CREATE INDEX keys_holder ON keys (holder_id, created_at);
CREATE INDEX keys_imported ON keys (hash) WHERE origin = 'imported';

-- Whose keys or plan have changed, for gateways that have them in memory.
CREATE TABLE changes (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    holder_id TEXT NOT NULL,
    at        INTEGER NOT NULL
) STRICT;

CREATE INDEX changes_holder ON changes (holder_id);
CREATE INDEX changes_at ON changes (at);

-- What was called with which credential: the id of a key, 'wallet' or 'token'. Days are counted from 1970 (UTC).
CREATE TABLE usage (
    day        INTEGER NOT NULL,
    holder_id  TEXT NOT NULL,
    credential TEXT NOT NULL,
    route      TEXT NOT NULL,
    calls      INTEGER NOT NULL,
    units      INTEGER NOT NULL,
    PRIMARY KEY (day, holder_id, credential, route)
) STRICT, WITHOUT ROWID;

-- What was sold stays sold, what took another's place keeps it, and a revoked key stays revoked, whoever tries.
CREATE TRIGGER subscriptions_stay BEFORE DELETE ON subscriptions
BEGIN SELECT raise(ABORT, 'what was sold is kept'); END;

CREATE TRIGGER subscriptions_replaced BEFORE UPDATE OF replaced_by ON subscriptions
WHEN OLD.replaced_by IS NOT NULL AND NEW.replaced_by IS NOT OLD.replaced_by
BEGIN SELECT raise(ABORT, 'another one has its place'); END;

CREATE TRIGGER keys_revoked BEFORE UPDATE OF revoked_at ON keys
WHEN OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NOT OLD.revoked_at
BEGIN SELECT raise(ABORT, 'a revoked key stays revoked'); END;
