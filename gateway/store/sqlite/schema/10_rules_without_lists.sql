-- The same rules, said without lists: SQLite makes a table of a list of more than two words for each row that it judges by
-- it, which took longer than the rest of the row. A rule of a column can be said anew only with the whole table, or so,
-- where what is in the table stays as it is (https://www.sqlite.org/lang_altertable.html, section 7).
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
SET sql = replace(sql, 'state IN (''settling'', ''settled'', ''delivered'', ''voided'', ''unknown'')',
                  'state = ''settling'' OR state = ''settled'' OR state = ''delivered'' OR state = ''voided'' OR state = ''unknown''')
WHERE type = 'table' AND name = 'payments';
PRAGMA writable_schema = OFF;

-- Made anew, it tells every connection that the schema has changed.
DROP TRIGGER payments_move;
CREATE TRIGGER payments_move BEFORE UPDATE OF state ON payments
WHEN NOT (CASE OLD.state
    WHEN 'settling' THEN NEW.state = 'settled' OR NEW.state = 'voided' OR NEW.state = 'unknown'
    WHEN 'unknown' THEN NEW.state = 'settled' OR NEW.state = 'voided' OR NEW.state = 'unknown'
    WHEN 'settled' THEN NEW.state = 'delivered'
    WHEN 'voided' THEN NEW.state = 'settling' OR NEW.state = 'unknown'
    ELSE 0 END)
BEGIN SELECT raise(ABORT, 'a payment does not move so'); END;
