//! Claims within one process: who is working on which payment.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::payment::PaymentId;

/// The payments that somebody is working on. Bounded by the number of requests under way.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    held: Arc<Mutex<HashMap<PaymentId, Arc<Held>>>>,
}

#[derive(Debug)]
struct Held {
    /// Never has a permit: closing it is the signal that it is over.
    over: Semaphore,
    stage: AtomicU8,
}

/// The right to work on one payment; dropping it lets the next one in.
#[derive(Debug)]
pub struct Claim {
    id: PaymentId,
    claims: Claims,
    held: Arc<Held>,
}

/// Somebody else's claim.
#[derive(Debug)]
pub struct Busy {
    held: Arc<Held>,
}

impl Claims {
    /// Takes a payment, or says who has it.
    pub fn take(&self, id: &PaymentId) -> Result<Claim, Busy> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match held.entry(id.clone()) {
            Entry::Occupied(other) => Err(Busy { held: Arc::clone(other.get()) }),
            Entry::Vacant(free) => {
                let held = Arc::new(Held { over: Semaphore::new(0), stage: AtomicU8::new(Stage::Working.number()) });
                free.insert(Arc::clone(&held));
                Ok(Claim { id: id.clone(), claims: self.clone(), held })
            }
        }
    }
}

/// What whoever has a claim is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The payment is checked, the work done, or the money moved.
    Working,
    /// The outcome of an earlier settlement is asked for.
    Resolving,
    /// It is over; the answer leaves, or has left and is noted.
    Noting,
}

impl Stage {
    const fn number(self) -> u8 {
        match self {
            Self::Working => 0,
            Self::Resolving => 1,
            Self::Noting => 2,
        }
    }
}

impl Claim {
    /// Says how far the work is, for those who would wait for it.
    pub fn reached(&self, stage: Stage) {
        self.held.stage.store(stage.number(), Ordering::Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = self.claims.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&self.id);
        self.held.over.close();
    }
}

impl Busy {
    /// How far the other one is.
    pub fn stage(&self) -> Stage {
        match self.held.stage.load(Ordering::Relaxed) {
            1 => Stage::Resolving,
            2 => Stage::Noting,
            _ => Stage::Working,
        }
    }

    /// Waits until the other one is done.
    pub async fn done(self) {
        // An error is what closing gives.
        let _ = self.held.over.acquire().await;
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
