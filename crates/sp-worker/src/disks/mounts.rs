//! Which file systems may hang for ever: those of a network, and those that a process serves.

use std::path::{Path, PathBuf};

/// Where the kernel lists what is mounted. Reading it touches none of it.
const MOUNTS: &str = "/proc/self/mountinfo";

/// Their names in that list; one of FUSE may have the name of its program behind a dot.
const MAY_HANG: [&str; 21] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "ceph",
    "fuse",
    "fuseblk",
    "lustre",
    "beegfs",
    "gpfs",
    "9p",
    "virtiofs",
    "afs",
    "coda",
    "ocfs2",
    "gfs2",
    "orangefs",
    "pvfs2",
    "glusterfs",
    "vboxsf",
];

/// Is this path, or what it is a link to, on one of them? Touches the path.
pub(super) fn may_hang(root: &Path) -> bool {
    is_listed_as_one_that_may_hang(root)
        || std::fs::canonicalize(root).is_ok_and(|real| is_listed_as_one_that_may_hang(&real))
}

/// Is this path on one of them, as far as can be known without touching it?
pub(super) fn is_listed_as_one_that_may_hang(root: &Path) -> bool {
    std::fs::read_to_string(MOUNTS).is_ok_and(|list| type_at(&list, root).is_some_and(hangs))
}

fn hangs(kind: &str) -> bool {
    let family = kind.split('.').next().unwrap_or(kind);
    MAY_HANG.contains(&family)
}

/// Name of the type of the file system that a path is on: of the mounts above it the nearest, and of several at one place
/// the last, which covers the others.
fn type_at<'a>(list: &'a str, path: &Path) -> Option<&'a str> {
    let mounts = list.lines().filter_map(mount).filter(|(at, _)| path.starts_with(at));
    mounts.max_by_key(|(at, _)| at.components().count()).map(|(_, kind)| kind)
}

/// Place and type of one line: `36 35 98:0 /root /place options optional.. - type source options`.
fn mount(line: &str) -> Option<(PathBuf, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let place = before.split(' ').nth(4)?;
    Some((PathBuf::from(plain(place)), after.split(' ').next()?))
}

/// Space, tab, newline and backslash are written as `\` and three octal digits.
fn plain(place: &str) -> String {
    let mut parts = place.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(code) => text.extend([char::from(code)].into_iter().chain(part[3..].chars())),
            None => text.extend(['\\'].into_iter().chain(part.chars())),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
22 1 254:1 / / rw,relatime - ext4 /dev/vda rw
30 22 0:26 / /mnt rw,relatime shared:1 - tmpfs tmpfs rw
31 22 0:27 / /mnt/nas rw,relatime shared:2 master:1 - nfs4 server:/export rw,hard
32 31 0:28 / /mnt/nas/local\\040disk rw - xfs /dev/sdb rw
33 22 0:29 / /mnt/s3 rw,nosuid - fuse.s3fs s3fs rw
34 22 0:30 / /mnt/covered rw - nfs4 server:/old rw
35 34 0:31 / /mnt/covered rw - ext4 /dev/sdc rw
";

    #[test]
    fn the_nearest_and_last_mount_counts() {
        let at = |path: &str| type_at(LIST, Path::new(path)).unwrap();
        assert_eq!(at("/home/user"), "ext4");
        assert_eq!(at("/mnt/other"), "tmpfs");
        assert_eq!(at("/mnt/nas"), "nfs4");
        assert_eq!(at("/mnt/nas/sectors/a"), "nfs4");
        assert_eq!(at("/mnt/nas2"), "tmpfs", "a name that only begins alike");
        assert_eq!(at("/mnt/nas/local disk/sectors"), "xfs");
        assert_eq!(at("/mnt/s3/sectors"), "fuse.s3fs");
        assert_eq!(at("/mnt/covered"), "ext4", "the later mount covers the earlier");
    }

    #[test]
    fn of_a_network_or_served_by_a_process() {
        for kind in ["nfs", "nfs4", "cifs", "fuse", "fuse.sshfs", "fuseblk", "ceph", "9p"] {
            assert!(hangs(kind), "{kind}");
        }
        for kind in ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fusectl"] {
            assert!(!hangs(kind), "{kind}");
        }
    }

    #[test]
    fn a_list_that_is_none_names_nothing() {
        for list in ["", "\n\n", "22 1 254:1 / /", "a - b", "22 1 254:1 / / rw - "] {
            assert!(!type_at(list, Path::new("/mnt")).is_some_and(hangs), "{list}");
        }
        assert_eq!(plain("a\\040b\\134c\\x"), "a b\\c\\x");
    }
}
