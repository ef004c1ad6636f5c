//! The files of a finished cache, and which names of an archive mean one of them.

use sp_types::{FileKind, SectorSize};

use super::file::Size;

/// Longest tree-r-last that any sector has, rounded up.
const TREE_BYTES_MAX: u64 = 10 << 20;

/// A file of a finished cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CacheFile {
    pub(super) name: String,
    pub(super) size: Size,
}

/// What an archive's entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry<'a> {
    /// The directory itself.
    Directory,
    /// One of the files.
    File(&'a CacheFile),
}

/// Every file that the finished cache of a sector of this size has, cache or update's cache.
pub(super) fn cache_files(size: SectorSize) -> Vec<CacheFile> {
    let trees = match size {
        SectorSize::GiB32 => 8,
        SectorSize::GiB64 => 16,
        _ => 1,
    };
    let tree = |at: usize| CacheFile {
        name: if trees == 1 {
            "sc-02-data-tree-r-last.dat".to_owned()
        } else {
            format!("sc-02-data-tree-r-last-{at}.dat")
        },
        // The whole tree of a very small sector is kept.
        size: Size::UpTo(TREE_BYTES_MAX.min(2 * size.bytes())),
    };
    let of = |name: &str, size| CacheFile { name: name.to_owned(), size };
    // Lotus's limits.
    let heads = [of("p_aux", Size::Exactly(64)), of("t_aux", Size::UpTo(10240))];
    heads.into_iter().chain((0..trees).map(tree)).collect()
}

/// Which file of the directory an archive means by a name, or what is wrong with it. Names are relative to the directory,
/// or begin with its own name.
pub(super) fn entry<'a>(
    path: &[u8],
    is_dir: bool,
    kind: FileKind,
    sector: &str,
    files: &'a [CacheFile],
) -> Result<Entry<'a>, String> {
    let odd = |what: &str| Err(format!("its archive holds {what} ({})", shown(path)));
    let Ok(path_text) = str::from_utf8(path) else { return odd("a name that is no text") };
    if path_text.starts_with('/') {
        return odd("an absolute name");
    }
    let parts: Vec<&str> = path_text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return odd("a name that leads out of the directory");
    }
    match (parts.as_slice(), is_dir) {
        ([], true) => Ok(Entry::Directory),
        ([name], true) if *name == sector => Ok(Entry::Directory),
        (_, true) => odd("a directory"),
        ([name], false) => known(name, kind, files),
        ([dir, name], false) if *dir == sector => known(name, kind, files),
        _ => odd("a file in a directory of its own"),
    }
}

fn known<'a>(name: &str, kind: FileKind, files: &'a [CacheFile]) -> Result<Entry<'a>, String> {
    let file = files.iter().find(|file| file.name == name).map(Entry::File);
    file.ok_or_else(|| {
        format!(
            "its archive holds `{}`, which is no file of a finished {kind}: have it finalised where it lies first",
            shown(name.as_bytes())
        )
    })
}

/// A name of somebody else's, cut and harmless to a terminal.
fn shown(name: &[u8]) -> String {
    super::http::shown(&String::from_utf8_lossy(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECTOR: &str = "s-t01000-7";

    fn judged(path: &str, is_dir: bool) -> Result<String, String> {
        let files = cache_files(SectorSize::KiB2);
        entry(path.as_bytes(), is_dir, FileKind::Cache, SECTOR, &files).map(|entry| match entry {
            Entry::Directory => ".".to_owned(),
            Entry::File(file) => file.name.clone(),
        })
    }

    #[test]
    fn names_of_the_files_and_nothing_else() {
        let tree = "sc-02-data-tree-r-last.dat";
        for (path, name) in [("p_aux", "p_aux"), ("./t_aux", "t_aux"), (tree, tree), ("s-t01000-7/p_aux", "p_aux")] {
            assert_eq!(judged(path, false).as_deref(), Ok(name), "{path}");
        }
        for dir in ["./", ".", "s-t01000-7/", "./s-t01000-7"] {
            assert_eq!(judged(dir, true).as_deref(), Ok("."), "{dir}");
        }
        for (path, is_dir, words) in [
            ("/p_aux", false, "absolute"),
            ("../p_aux", false, "leads out"),
            ("s-t01000-7/../p_aux", false, "leads out"),
            ("s-t01000-8/p_aux", false, "directory of its own"),
            ("s-t01000-7/s-t01000-7/p_aux", false, "directory of its own"),
            ("sc-02-data-layer-1.dat", false, "no file of a finished cache"),
            ("sc-02-data-tree-r-last-0.dat", false, "no file of a finished cache"),
            ("", false, "directory of its own"),
            ("p_aux", true, "a directory"),
            ("etc", true, "a directory"),
        ] {
            let why = judged(path, is_dir).unwrap_err();
            assert!(why.contains(words), "{path}: {why}");
        }
        assert!(entry(b"p_aux\xff", false, FileKind::Cache, SECTOR, &[]).is_err());
    }

    #[test]
    fn larger_sectors_have_more_trees() {
        let names = |size| cache_files(size).into_iter().map(|file| file.name).collect::<Vec<_>>();
        assert_eq!(names(SectorSize::MiB512), ["p_aux", "t_aux", "sc-02-data-tree-r-last.dat"]);
        assert_eq!(names(SectorSize::GiB32).len(), 10);
        assert_eq!(names(SectorSize::GiB64).last().unwrap(), "sc-02-data-tree-r-last-15.dat");
    }

    proptest! {
        /// Whatever the name: what comes of it is one of the known names, without a slash, or a refusal that can be shown.
        #[test]
        fn no_name_leads_elsewhere(path in "[./]{0,3}(s-t01000-7)?[./]{0,3}(p_aux|t_aux|\\PC{0,20})[./]{0,2}", raw: Vec<u8>, is_dir: bool) {
            let files = cache_files(SectorSize::GiB32);
            for path in [path.as_bytes(), &raw] {
                match entry(path, is_dir, FileKind::Cache, SECTOR, &files) {
                    Ok(Entry::File(file)) => {
                        prop_assert!(!is_dir && files.contains(file) && !file.name.contains('/'));
                    }
                    Ok(Entry::Directory) => prop_assert!(is_dir),
                    Err(why) => prop_assert!(why.len() < 1500 && !why.chars().any(char::is_control)),
                }
            }
        }
    }
}
