-- What a payer who proves their wallet holds: the newest subscription first.
CREATE INDEX subscriptions_payer ON subscriptions (chain, payer, created_at);
