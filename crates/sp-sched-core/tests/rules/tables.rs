//! The resource table as it applies: Lotus's, the cluster's over it, and over both a worker's own.

use sp_types::{ErrorCode, ResourceTable, SectorSize, TaskKind};

use crate::desk::{Desk, SIZE, lotus_machine};

fn table(name: &str, value: &str) -> ResourceTable {
    ResourceTable::with_env([(name.to_owned(), value.to_owned())]).unwrap()
}

#[test]
fn every_row_says_who_it_comes_from() {
    let mut desk = Desk::new(|config| config.resources = table("PC1_32G_MAX_CONCURRENT", "4"), &[]);
    desk.join_with("a", &[TaskKind::PreCommit2], lotus_machine(), table("PC2_MAX_CONCURRENT", "2"), |_| {});
    desk.join_with("b", &[TaskKind::PreCommit1], lotus_machine(), table("PC1_MAX_CONCURRENT", "7"), |_| {});
    let row = |worker: Option<&str>, kind, size| {
        let rows = desk.core.resource_table(worker).unwrap();
        assert_eq!(rows.len(), TaskKind::ALL.len() * SectorSize::ALL.len());
        let found = rows.into_iter().find(|view| (view.kind, view.size) == (kind, size)).unwrap();
        (found.row.max_concurrent, found.from)
    };
    let (pc1, pc2, other) = (TaskKind::PreCommit1, TaskKind::PreCommit2, SectorSize::KiB2);
    assert_eq!(
        (row(None, pc1, SIZE), row(None, pc1, other), row(None, pc2, SIZE)),
        ((4, "cluster"), (0, "lotus"), (0, "lotus"))
    );
    assert_eq!((row(Some("a"), pc1, SIZE), row(Some("a"), pc2, SIZE)), ((4, "cluster"), (2, "worker")));
    assert_eq!((row(Some("b"), pc1, SIZE), row(Some("b"), pc1, other)), ((7, "worker"), (7, "worker")));
    assert_eq!(desk.core.resource_table(Some("nobody")).unwrap_err().0, ErrorCode::NotFound);
}
