-- Payments lie in the order in which they come, and are found by an index of their ids. Before, each was where the hash
-- that names it fell: a page of its own to be written, three times. Foreign keys are off.
CREATE TABLE payments_8 (
    number           INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,
    state            TEXT NOT NULL CHECK (state IN ('settling', 'settled', 'delivered', 'voided', 'unknown')),
    offer            TEXT NOT NULL,
    quote            TEXT,
    version          INTEGER NOT NULL,
    network          TEXT NOT NULL,
    chain            TEXT NOT NULL,
    asset            TEXT NOT NULL,
    amount           TEXT NOT NULL,
    pay_to           TEXT NOT NULL,
    payer            TEXT,
    valid_before     INTEGER NOT NULL,
    request          TEXT NOT NULL,
    receipt          TEXT,
    reason           TEXT,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    goods            TEXT,
    identifier       TEXT,
    since            INTEGER NOT NULL DEFAULT 0,
    transaction_hint TEXT,
    attempts         INTEGER NOT NULL DEFAULT 0,
    -- When it is asked for again; NULL if only the operator can end it.
    ask_at           INTEGER,
    -- Whether the upstream was asked for a call that is settled first: what cannot be repeated is asked for once.
    asked            INTEGER NOT NULL DEFAULT 0,
    -- Who was asked to move the money. NULL in rows from when there was only one.
    facilitator      TEXT,
    CHECK (state NOT IN ('settled', 'delivered') OR receipt IS NOT NULL)
) STRICT;
INSERT INTO payments_8 (id, state, offer, quote, version, network, chain, asset, amount, pay_to, payer, valid_before, request,
                        receipt, reason, created_at, updated_at, goods, identifier, since, transaction_hint, attempts, ask_at,
                        asked, facilitator)
    SELECT id, state, offer, quote, version, network, chain, asset, amount, pay_to, payer, valid_before, request, receipt,
           reason, created_at, updated_at, goods, identifier, since, transaction_hint, attempts, ask_at, asked, facilitator
    FROM payments ORDER BY created_at, id;
DROP TABLE payments;
ALTER TABLE payments_8 RENAME TO payments;

-- As before, with the id where pages are put in order by it, and the time by which what was left settling is found.
CREATE INDEX payments_open ON payments (state, updated_at) WHERE state IN ('settling', 'unknown');
CREATE INDEX payments_due ON payments (ask_at) WHERE state = 'unknown' AND ask_at IS NOT NULL;
CREATE INDEX payments_created ON payments (created_at, id);
CREATE INDEX payments_updated ON payments (updated_at) WHERE state IN ('delivered', 'voided');
CREATE UNIQUE INDEX payments_identifier ON payments (identifier, offer, coalesce(payer, ''))
    WHERE identifier IS NOT NULL AND state <> 'voided';
CREATE INDEX payments_payer ON payments (payer COLLATE NOCASE, created_at, id) WHERE payer IS NOT NULL;
CREATE UNIQUE INDEX payments_proof ON payments (chain, receipt ->> '$.transaction')
    WHERE facilitator IS NOT NULL AND receipt IS NOT NULL AND receipt ->> '$.transaction' <> ''
      AND NOT (substr(chain, 1, 7) = 'eip155:' AND request ->> '$.paymentRequirements.scheme' IN ('exact', 'upto'))
      AND NOT (substr(chain, 1, 7) = 'solana:' AND request ->> '$.paymentRequirements.scheme' = 'exact');

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
