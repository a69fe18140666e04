//! How much memory there is.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, get_current_pid};

/// The bytes of memory that this process may use: the machine's, or its control group's if those are fewer. None where the
/// system does not tell.
pub fn limit() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0);
    group(&mut system).into_iter().chain(machine).min()
}

fn group(system: &mut System) -> Option<u64> {
    let process = get_current_pid().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[process]), false, ProcessRefreshKind::nothing());
    Some(system.process(process)?.cgroup_limits()?.total_memory)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn no_process_has_more_than_the_machine() {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap();
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"));
        let kib: u64 = total.unwrap().trim().parse().unwrap();
        let limit = limit().unwrap();
        assert!((1..=kib * 1024).contains(&limit), "{limit}");
    }
}
