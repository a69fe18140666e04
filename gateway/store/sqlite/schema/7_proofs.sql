-- Payments by schemes that the gateway cannot read are told apart by their text, which can be varied. The transaction
-- that settles such a payment settles no other one. Rows from before, which name no facilitator, stay as they are.
CREATE UNIQUE INDEX payments_proof ON payments (chain, receipt ->> '$.transaction')
    WHERE facilitator IS NOT NULL AND receipt IS NOT NULL AND receipt ->> '$.transaction' <> ''
      AND NOT (substr(chain, 1, 7) = 'eip155:' AND request ->> '$.paymentRequirements.scheme' IN ('exact', 'upto'))
      AND NOT (substr(chain, 1, 7) = 'solana:' AND request ->> '$.paymentRequirements.scheme' = 'exact');
