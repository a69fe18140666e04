//! Claims within one process: who is working on which payment.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::payment::PaymentId;

/// The payments that somebody is working on. Bounded by the number of requests under way.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    held: Arc<Mutex<HashMap<PaymentId, Arc<Semaphore>>>>,
}

/// The right to work on one payment; dropping it lets the next one in.
#[derive(Debug)]
pub struct Claim {
    id: PaymentId,
    claims: Claims,
    over: Arc<Semaphore>,
}

/// Somebody else's claim.
#[derive(Debug)]
pub struct Busy {
    over: Arc<Semaphore>,
}

impl Claims {
    /// Takes a payment, or says who has it.
    pub fn take(&self, id: &PaymentId) -> Result<Claim, Busy> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.entry(id.clone()) {
            Entry::Occupied(other) => Err(Busy { over: Arc::clone(other.get()) }),
            Entry::Vacant(free) => {
                // Never has a permit: closing it is the signal.
                let over = Arc::new(Semaphore::new(0));
                free.insert(Arc::clone(&over));
                Ok(Claim { id: id.clone(), claims: self.clone(), over })
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&self.id);
        self.over.close();
    }
}

impl Busy {
    /// Waits until the other one is done.
    pub async fn done(self) {
        // An error is what closing gives.
        let _ = self.over.acquire().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time() {
        let (claims, id) = (Claims::default(), PaymentId::stored("pay_1"));
        let claim = claims.take(&id).unwrap();
        let busy = claims.take(&id).unwrap_err();
        let waiting = tokio::spawn(busy.done());
        drop(claim);
        waiting.await.unwrap();
        assert!(claims.take(&id).is_ok());
        assert!(claims.held.lock().unwrap().is_empty());
    }
}
