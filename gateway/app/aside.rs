//! Work that takes a processor for a while: large tables are built and let go of beside the requests, never on a thread
//! that serves one or settles its payment.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::priority::Behind;

/// How often it is looked whether the last request with a table has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Does it on a thread of its own, on Linux at a low priority. None if there is no thread to be had, or if it panicked.
///
/// Dropped, the work goes on and its result is lost. The thread is not one of a pool: what follows there would be slow,
/// too, since nobody may raise a priority again.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("tollgate-aside".to_owned()).spawn(move || {
        Behind::Chores.step();
        let _ = done.send(work());
    });
    match thread {
        Ok(_) => result.await.ok(),
        Err(error) => {
            tracing::error!(%error, "no thread can be had");
            None
        }
    }
}

/// Puts one in the place of another and [retires](retire) that one, unless it is the same: whatever waits for its other
/// holders to end would wait for its own place, too.
pub(super) fn replace<T: Send + Sync + 'static>(place: &mut Arc<T>, with: Arc<T>) {
    let earlier = std::mem::replace(place, with);
    if !Arc::ptr_eq(&earlier, place) {
        retire(earlier);
    }
}

/// Lets go of what requests share once none of them has it any more. Else the last of them would, and its thread would
/// free a whole table while others wait.
pub(super) fn retire<T: Send + Sync + 'static>(shared: Arc<T>) {
    tokio::spawn(async move {
        while Arc::strong_count(&shared) > 1 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        aside(move || drop(shared)).await
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says on which thread it was dropped.
    struct Table(std::sync::mpsc::Sender<Option<String>>);

    impl Drop for Table {
        fn drop(&mut self) {
            let _ = self.0.send(std::thread::current().name().map(ToOwned::to_owned));
        }
    }

    #[tokio::test]
    async fn what_requests_share_is_dropped_aside_when_the_last_has_ended() {
        let (dropped, drops) = std::sync::mpsc::channel();
        let table = Arc::new(Table(dropped));
        let request = Arc::clone(&table);
        retire(table);
        tokio::time::sleep(LOOK_EVERY * 2).await;
        assert!(drops.try_recv().is_err(), "a request has it still");
        drop(request);
        assert_eq!(next(drops).await.as_deref(), Some("tollgate-aside"));
    }

    async fn next(drops: std::sync::mpsc::Receiver<Option<String>>) -> Option<String> {
        tokio::task::spawn_blocking(move || drops.recv_timeout(Duration::from_secs(60)).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn what_stays_in_its_place_is_dropped_when_another_comes() {
        let (dropped, drops) = std::sync::mpsc::channel();
        let mut place = Arc::new(Table(dropped.clone()));
        for _ in 0..2 {
            let same = Arc::clone(&place);
            replace(&mut place, same);
        }
        assert!(drops.try_recv().is_err(), "it is in use");
        replace(&mut place, Arc::new(Table(dropped)));
        assert_eq!(next(drops).await.as_deref(), Some("tollgate-aside"));
    }

    #[tokio::test]
    async fn work_aside_gives_its_result() {
        assert_eq!(aside(|| 1).await, Some(1));
        assert_eq!(aside(|| [1][std::hint::black_box(1)]).await, None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_the_thread_aside_yields() {
        let of_thread = || rustix::process::getpriority_process(None).unwrap();
        let before = of_thread();
        assert!(aside(of_thread).await.unwrap() > before);
        assert_eq!(of_thread(), before);
    }
}
