//! From what the machine's files say to what this process may use: a function of numbers.

use sp_types::HostCapacity;

use super::facts::{Facts, Limit};

/// Memory, swap and cores; the GPUs are not in any file. With `no_swap`, swap is reported as none.
pub(super) fn decide(facts: &Facts, no_swap: bool) -> HostCapacity {
    let memory = facts.memory;
    let whole = Limit { max: memory.total, used: memory.total.saturating_sub(memory.available) };
    let whole_swap = Limit { max: memory.swap_total, used: memory.swap_total.saturating_sub(memory.swap_free) };
    let ram = tightest(whole, facts.groups.iter().filter_map(|group| group.memory));
    let swap = tightest(whole_swap, facts.groups.iter().filter_map(|group| group.swap));
    let swap = if no_swap { Limit::default() } else { swap };
    HostCapacity {
        memory_bytes: ram.max,
        memory_used_bytes: ram.used,
        swap_bytes: swap.max,
        swap_used_bytes: swap.used,
        cpus: cpus(facts),
        ..HostCapacity::default()
    }
}

/// A group's own use counts only where its limit is the tighter one: elsewhere the machine's figure says more.
fn tightest(whole: Limit, groups: impl Iterator<Item = Limit>) -> Limit {
    let least = groups.fold(whole, |best, group| if group.max < best.max { group } else { best });
    Limit { used: least.used.min(least.max), ..least }
}

/// Cores that are in every list, fewer if a quota says so, at least one: the process does run.
fn cpus(facts: &Facts) -> u32 {
    let lists = facts.groups.iter().filter_map(|group| group.cpuset.as_ref()).chain(&facts.online);
    let mut cores = facts.allowed.clone();
    for list in lists {
        cores.retain(|core| list.contains(core));
    }
    let quotas = facts.groups.iter().filter_map(|group| group.quota_cpus);
    let count = u32::try_from(cores.len()).unwrap_or(u32::MAX);
    quotas.fold(count, u32::min).max(1)
}

#[cfg(test)]
mod tests {
    use super::super::facts::Group;
    use super::super::table::{self, Memory};
    use super::*;

    const MACHINE: Memory = Memory { total: 64, available: 40, swap_total: 8, swap_free: 6 };

    fn group(memory: Option<(u64, u64)>, swap: Option<(u64, u64)>) -> Group {
        let limit = |(max, used)| Limit { max, used };
        Group { memory: memory.map(limit), swap: swap.map(limit), ..Group::default() }
    }

    /// Memory, used, swap, used.
    fn memory_of(groups: Vec<Group>, no_swap: bool) -> [u64; 4] {
        let seen = decide(&Facts { memory: MACHINE, groups, ..Facts::default() }, no_swap);
        [seen.memory_bytes, seen.memory_used_bytes, seen.swap_bytes, seen.swap_used_bytes]
    }

    #[test]
    fn memory_is_the_tightest_of_machine_and_groups() {
        let cases = [
            (vec![], [64, 24, 8, 2]),
            (vec![group(None, None)], [64, 24, 8, 2]),
            (vec![group(Some((100, 5)), Some((9, 1)))], [64, 24, 8, 2]),
            (vec![group(Some((64, 5)), None)], [64, 24, 8, 2]),
            (vec![group(Some((32, 5)), None)], [32, 5, 8, 2]),
            (vec![group(Some((32, 5)), None), group(Some((16, 15)), None)], [16, 15, 8, 2]),
            (vec![group(Some((16, 15)), None), group(Some((32, 5)), Some((0, 0)))], [16, 15, 0, 0]),
            // Kernel memory can take a group above its limit for a moment.
            (vec![group(Some((16, 20)), Some((4, 5)))], [16, 16, 4, 4]),
        ];
        for (groups, expected) in cases {
            assert_eq!(memory_of(groups.clone(), false), expected, "{groups:?}");
            let [memory, used, ..] = expected;
            assert_eq!(memory_of(groups, true), [memory, used, 0, 0]);
        }
    }

    #[test]
    fn cores_are_in_every_list_and_within_every_quota() {
        let list = |text| table::cores(text);
        let (set, quota) = (|text| (list(text), None), |cores| (None, Some(cores)));
        let cases = [
            ("0-7", None, vec![], 8),
            ("0-7", Some("0-7"), vec![], 8),
            // A virtual machine that could have 128 and has 4.
            ("0-127", Some("0-3"), vec![], 4),
            ("2,6", Some("0-7"), vec![], 2),
            ("0-7", Some("0-7"), vec![set("1,3-5")], 4),
            ("0-7", None, vec![set("0-3"), set("2-7")], 2),
            ("0-7", None, vec![quota(3), quota(5)], 3),
            ("0-1", None, vec![quota(64)], 2),
            // Lists of two moments that have nothing in common.
            ("0-1", Some("2-3"), vec![], 1),
        ];
        for (allowed, online, groups, expected) in cases {
            let group = |(cpuset, quota_cpus)| Group { cpuset, quota_cpus, ..Group::default() };
            let groups = groups.into_iter().map(group);
            let allowed = list(allowed).expect("a list");
            let facts = Facts { memory: MACHINE, allowed, online: online.and_then(list), groups: groups.collect() };
            assert_eq!(decide(&facts, false).cpus, expected, "{facts:?}");
        }
    }
}
