-- Who was asked to move the money, by its name in the configuration: nobody else may be asked about it. NULL in rows
-- from when there was only one.
ALTER TABLE payments ADD COLUMN facilitator TEXT;
