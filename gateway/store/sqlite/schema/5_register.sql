-- What the operator did about holders and their keys, for whoever asks later. It outlives what it is about.
CREATE TABLE holder_acts (
    number    INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    holder_id TEXT NOT NULL,
    key_id    TEXT,
    act       TEXT NOT NULL,
    detail    TEXT NOT NULL
) STRICT;

CREATE INDEX holder_acts_holder ON holder_acts (holder_id, number);

CREATE TRIGGER holder_acts_stand BEFORE UPDATE ON holder_acts
BEGIN SELECT raise(ABORT, 'what was done stays done'); END;

CREATE TRIGGER holder_acts_stay BEFORE DELETE ON holder_acts
BEGIN SELECT raise(ABORT, 'what was done stays done'); END;

-- All keys are listed page by page, and what somebody holds is looked up by their address, whatever its letter case.
CREATE INDEX keys_created ON keys (created_at);
CREATE INDEX addresses_address ON addresses (address COLLATE NOCASE);
