-- What a repeat and the reconciler need of a payment.
ALTER TABLE payments ADD COLUMN goods TEXT;
ALTER TABLE payments ADD COLUMN identifier TEXT;
ALTER TABLE payments ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE payments ADD COLUMN transaction_hint TEXT;
ALTER TABLE payments ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
-- When it is asked for again; NULL if only the operator can end it.
ALTER TABLE payments ADD COLUMN ask_at INTEGER;

CREATE INDEX payments_due ON payments (ask_at) WHERE state = 'unknown' AND ask_at IS NOT NULL;
CREATE INDEX payments_created ON payments (created_at);
CREATE INDEX payments_updated ON payments (updated_at) WHERE state IN ('delivered', 'voided');
-- One payment for each payment-identifier of a payer and offer.
CREATE UNIQUE INDEX payments_identifier ON payments (identifier, offer, coalesce(payer, ''))
    WHERE identifier IS NOT NULL AND state <> 'voided';

-- The moves of a payment. Any other is refused, whoever tries it.
CREATE TRIGGER payments_begin BEFORE INSERT ON payments WHEN NEW.state <> 'settling'
BEGIN SELECT raise(ABORT, 'a payment begins as settling'); END;

CREATE TRIGGER payments_move BEFORE UPDATE OF state ON payments
WHEN NOT (CASE OLD.state
    WHEN 'settling' THEN NEW.state IN ('settled', 'voided', 'unknown')
    WHEN 'unknown' THEN NEW.state IN ('settled', 'voided', 'unknown')
    WHEN 'settled' THEN NEW.state = 'delivered'
    WHEN 'voided' THEN NEW.state IN ('settling', 'unknown')
    ELSE 0 END)
BEGIN SELECT raise(ABORT, 'a payment does not move so'); END;

CREATE TRIGGER payments_end BEFORE DELETE ON payments WHEN OLD.state NOT IN ('delivered', 'voided')
BEGIN SELECT raise(ABORT, 'a payment that is open or owed is kept'); END;

-- The answers that were paid for, for buyers who did not get them.
CREATE TABLE responses (
    payment_id TEXT PRIMARY KEY REFERENCES payments (id) ON DELETE CASCADE,
    status     INTEGER NOT NULL,
    headers    TEXT NOT NULL,
    body       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE INDEX responses_expiry ON responses (expires_at);

-- A subscription outlives the record of its payment, so it refers to it by name only.
CREATE TABLE subscriptions_2 (
    id         TEXT PRIMARY KEY,
    payment_id TEXT NOT NULL UNIQUE,
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
INSERT INTO subscriptions_2 SELECT id, payment_id, chain, payer, plan, key_prefix, expires_at, units, used, leased,
                                   created_at FROM subscriptions;
DROP TABLE subscriptions;
ALTER TABLE subscriptions_2 RENAME TO subscriptions;

-- What a payer who proves their wallet holds: the newest subscription first.
CREATE INDEX subscriptions_payer ON subscriptions (chain, payer, created_at);

-- Whether the upstream was asked for a call that is settled first: what cannot be repeated is asked for once.
ALTER TABLE payments ADD COLUMN asked INTEGER NOT NULL DEFAULT 0;
