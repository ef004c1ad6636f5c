//! Reading what one real path holds: manifest heads per second, warm.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sp_sectors::{Layout, ManifestHead, RealDisk, Store, StoreMeta};

use crate::figures::{Line, Table};
use crate::options::Options;
use crate::plan::{KINDS, replica, sector, store_id};

/// Measures and prints.
pub(crate) fn measure(options: &Options, table: &mut Table) -> Result<(), Box<dyn Error>> {
    let sectors = options.on_disk as u64;
    table.heading(&format!("one real path of {sectors} sectors with sealed and cache each, warm"));
    let dir = tempfile::tempdir()?;
    let meta = StoreMeta::new(&store_id(0), false, true);
    let disk = Arc::new(RealDisk);
    let store = Store::init(disk.clone(), dir.path(), &meta)?;
    fill(dir.path(), &store, sectors)?;
    let begin = Instant::now();
    let store_again = Store::open(disk, dir.path(), &BTreeSet::new())?;
    table.show(Line::new("opening it, leftovers looked for", "s", vec![begin.elapsed().as_secs_f64()]));
    let mut rates = Vec::new();
    for _ in 0..=options.runs {
        let begin = Instant::now();
        let found = store_again.replicas()?.len() as u64;
        assert_eq!(found, sectors * 2, "every head is read");
        rates.push(found as f64 / begin.elapsed().as_secs_f64());
    }
    // The first run warms caches.
    table.show(Line::new("manifest heads", "1/s", rates.split_off(1)));
    Ok(())
}

/// Puts empty files and their heads into place, as publishing leaves them; nobody reads their content here.
fn fill(root: &Path, store: &Store, sectors: u64) -> Result<(), Box<dyn Error>> {
    let layout = Layout::new(root);
    for number in 0..sectors {
        for kind in KINDS {
            let place = layout.replica(sector(number), kind);
            if kind.is_directory() {
                fs::create_dir(&place)?
            } else {
                fs::write(&place, [])?
            }
            let info = replica(store.id(), number, kind);
            let head = ManifestHead {
                origin: None,
                kind,
                root: info.id.root,
                size_bytes: info.size_bytes,
                file_count: 1,
                made_by: None,
                primary: true,
            };
            fs::write(layout.head(sector(number), kind), head.encode())?;
        }
    }
    Ok(())
}
