-- Times are milliseconds of Unix time, units are thousandths.
CREATE TABLE payments (
    id           TEXT PRIMARY KEY,
    state        TEXT NOT NULL CHECK (state IN ('settling', 'settled', 'delivered', 'voided', 'unknown')),
    offer        TEXT NOT NULL,
    quote        TEXT,
    version      INTEGER NOT NULL,
    network      TEXT NOT NULL,
    chain        TEXT NOT NULL,
    asset        TEXT NOT NULL,
    amount       TEXT NOT NULL,
    pay_to       TEXT NOT NULL,
    payer        TEXT,
    valid_before INTEGER NOT NULL,
    request      TEXT NOT NULL,
    receipt      TEXT,
    reason       TEXT,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    CHECK (state NOT IN ('settled', 'delivered') OR receipt IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX payments_open ON payments (state) WHERE state IN ('settling', 'unknown');

CREATE TABLE subscriptions (
    id         TEXT PRIMARY KEY,
    payment_id TEXT NOT NULL UNIQUE REFERENCES payments (id),
    chain      TEXT NOT NULL,
    payer      TEXT NOT NULL,
    plan       TEXT NOT NULL,
    key_prefix TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    units      INTEGER CHECK (units >= 0),
    used       INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0),
    leased     INTEGER NOT NULL DEFAULT 0 CHECK (leased >= 0),
    created_at INTEGER NOT NULL,
    CHECK (units IS NULL OR used + leased <= units)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    hash            BLOB PRIMARY KEY,
    subscription_id TEXT NOT NULL REFERENCES subscriptions (id),
    created_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
