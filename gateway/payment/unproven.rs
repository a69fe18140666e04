/// What a facilitator's "already used" means on a payment of ours, where no chain can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unproven {
    /// Nothing: the payment stays unknown, and the operator decides.
    Hold,
    /// That our own settlement has landed.
    Accept,
}
