//! Which threads go first where there are fewer processors than work: those that serve requests. Whatever moves money,
//! keeps books or builds tables beside them says so at its start, and has what they leave, and a share of a processor
//! that they would have whole.
//!
//! Elsewhere than on Linux a priority is the whole process's, and all threads are equal.

/// What a thread does that stands behind those that serve requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// Payments, with the requests that bring them. So far that Linux lets most threads that serve and wake up go on at
    /// once: one that is only a little nicer has a turn of some milliseconds each time.
    Money,
    /// Their books, behind whatever brings them more to write: what is written together costs little more than one write
    /// alone. As nice as the payments, they would write each by itself, at a quarter more processor time for all.
    Books,
    /// What nobody waits for.
    Chores,
}

impl Behind {
    /// How much nicer than the process. Linux gives 110 to 10, 56 to 13, and 23 to 17, for each 1024 that it gives to 0.
    #[cfg(target_os = "linux")]
    const fn by(self) -> i32 {
        match self {
            Self::Money => 10,
            Self::Books => 17,
            Self::Chores => 13,
        }
    }

    /// Puts the current thread there for good, with those that it will start: nobody may raise a priority again. Where it
    /// cannot be had, the work is as important as the rest.
    pub fn step(self) {
        #[cfg(target_os = "linux")]
        let _ = self.niceness().and_then(|niceness| rustix::process::setpriority_process(None, niceness));
    }

    /// By what its first thread has, as the operator has set it: the current one may have been started by one that has
    /// stepped back.
    #[cfg(target_os = "linux")]
    fn niceness(self) -> rustix::io::Result<i32> {
        let process = rustix::process::getpriority_process(Some(rustix::process::getpid()))?;
        Ok((process + self.by()).min(NICEST))
    }
}

/// The most that there is.
#[cfg(target_os = "linux")]
const NICEST: i32 = 19;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    fn of_thread() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn a_thread_steps_behind_alone_and_those_that_it_starts() {
        let before = of_thread();
        let stepped = |first: Behind, second: Behind| {
            let threads = std::thread::spawn(move || {
                first.step();
                let started = std::thread::spawn(move || {
                    let inherited = of_thread();
                    second.step();
                    [inherited, of_thread()]
                });
                (of_thread(), started.join().unwrap())
            });
            threads.join().unwrap()
        };
        let [money, chores] = [10, 13].map(|by| (before + by).min(NICEST));
        assert_eq!(stepped(Behind::Money, Behind::Chores), (money, [money, chores]));
        assert_eq!(stepped(Behind::Money, Behind::Money), (money, [money, money]));
        assert_eq!(of_thread(), before);
    }
}
