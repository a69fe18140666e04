-- What the operator did about a payment, for whoever asks later. It outlives the payment, so it refers to it by name.
CREATE TABLE operator_acts (
    number     INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    payment_id TEXT NOT NULL,
    act        TEXT NOT NULL,
    detail     TEXT NOT NULL
) STRICT;

CREATE INDEX operator_acts_payment ON operator_acts (payment_id);

CREATE TRIGGER operator_acts_stand BEFORE UPDATE ON operator_acts
BEGIN SELECT raise(ABORT, 'what was done stays done'); END;

CREATE TRIGGER operator_acts_stay BEFORE DELETE ON operator_acts
BEGIN SELECT raise(ABORT, 'what was done stays done'); END;

-- EVM addresses are equal whatever their letter case.
CREATE INDEX payments_payer ON payments (payer COLLATE NOCASE, created_at) WHERE payer IS NOT NULL;
