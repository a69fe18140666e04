-- What is used of a subscription and set aside changes every second while it is called; all else of it stays as it was
-- sold. Rows of their own are short, and many that are called at the same time lie on few pages.
CREATE TABLE balances (
    id     TEXT PRIMARY KEY REFERENCES subscriptions (id),
    units  INTEGER CHECK (units >= 0),
    used   INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0),
    leased INTEGER NOT NULL DEFAULT 0 CHECK (leased >= 0),
    CHECK (units IS NULL OR used + leased <= units)
) STRICT, WITHOUT ROWID;
INSERT INTO balances SELECT id, units, used, leased FROM subscriptions ORDER BY id;

CREATE TABLE subscriptions_9 (
    id          TEXT PRIMARY KEY,
    holder_id   TEXT NOT NULL REFERENCES holders (id),
    -- The payment that bought it; none for what the operator gave.
    payment_id  TEXT UNIQUE,
    chain       TEXT NOT NULL,
    payer       TEXT NOT NULL,
    plan        TEXT NOT NULL,
    key_prefix  TEXT NOT NULL,
    expires_at  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    -- What took its place.
    replaced_by TEXT,
    -- Whether it took over what was left of the one before it.
    extends     INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO subscriptions_9
    SELECT id, holder_id, payment_id, chain, payer, plan, key_prefix, expires_at, created_at, replaced_by, extends
    FROM subscriptions ORDER BY id;
DROP TABLE subscriptions;
ALTER TABLE subscriptions_9 RENAME TO subscriptions;

-- As before.
CREATE UNIQUE INDEX subscriptions_current ON subscriptions (holder_id) WHERE replaced_by IS NULL;
CREATE INDEX subscriptions_holder ON subscriptions (holder_id, created_at);
CREATE INDEX subscriptions_created ON subscriptions (created_at);

CREATE TRIGGER subscriptions_stay BEFORE DELETE ON subscriptions
BEGIN SELECT raise(ABORT, 'what was sold is kept'); END;

CREATE TRIGGER balances_stay BEFORE DELETE ON balances
BEGIN SELECT raise(ABORT, 'what was sold is kept'); END;

CREATE TRIGGER subscriptions_replaced BEFORE UPDATE OF replaced_by ON subscriptions
WHEN OLD.replaced_by IS NOT NULL AND NEW.replaced_by IS NOT OLD.replaced_by
BEGIN SELECT raise(ABORT, 'another one has its place'); END;
