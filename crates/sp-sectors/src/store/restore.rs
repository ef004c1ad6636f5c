//! Restore: what an attempt has published goes, and what it replaced comes back, when its result does not count.
//!
//! Publishing replaces, so that nobody ever sees two replicas of one kind in a store; and the result that a publish belongs
//! to may be refused, for its attempt was ended meanwhile. Without this the files that count would be gone with it.

use sp_types::{AttemptId, FileKind, ReplicaInfo, SectorId};

use super::Store;
use super::journal::{Switch, kept_manifest};
use crate::disk::{exists, make_dirs, read_all, remove_any};
use crate::error::{Doing, StoreError};
use crate::manifest::{HEAD_BYTES_MAX, ManifestHead};

impl Store {
    /// Brings back every replica that the attempt has replaced and that it stands in the place of, all of them or none,
    /// durable when it returns; but not those of these kinds, of which its own count. What comes back is named; what the attempt made goes with its work directory
    /// ([`Store::discard`]). May be called again after a crash or an error.
    pub fn restore(&self, attempt: AttemptId, counting: &[FileKind]) -> Result<Vec<ReplicaInfo>, StoreError> {
        self.check_writable()?;
        let _switch = self.switch_write()?;
        self.settle()?;
        let (mut switches, mut infos, mut gone_bytes) = (Vec::new(), Vec::new(), 0);
        let replaced = self.replaced_by(attempt)?.into_iter().filter(|(_, kind)| !counting.contains(kind));
        for (sector, kind) in replaced {
            let standing = self.head(sector, kind)?.filter(|head| head.made_by == Some(attempt));
            let is_there = self.has_data(sector, kind)?;
            let Some(standing) = standing.filter(|_| is_there) else { continue };
            if let Some((switch, head)) = self.ready_to_return(attempt, sector, kind, standing.root)? {
                gone_bytes += standing.size_bytes;
                infos.push(self.info_of(sector, &head));
                switches.push(switch);
            }
        }
        if switches.is_empty() {
            return Ok(infos);
        }
        self.sync_parent(&self.layout().work(attempt))?;
        let done = self.write_record(attempt, &switches).and_then(|()| self.carry_out(attempt, &switches));
        // Whoever restores may die before it has named them.
        self.list_anew();
        done?;
        self.count(infos.iter().map(|info| info.size_bytes).sum(), gone_bytes);
        Ok(infos)
    }

    /// What the attempt has put in the place of something that it keeps, and that stands there still: whoever ends the
    /// attempt has to know first whether it counts.
    pub fn stands_in_place(&self, attempt: AttemptId) -> Result<Vec<ReplicaInfo>, StoreError> {
        let _switch = self.switch_read()?;
        let mut standing = Vec::new();
        for (sector, kind) in self.replaced_by(attempt)? {
            if self.has_data(sector, kind)?
                && let Some(head) = self.head(sector, kind)?.filter(|head| head.made_by == Some(attempt))
            {
                standing.push(self.info_of(sector, &head));
            }
        }
        Ok(standing)
    }

    /// Puts a replaced replica and its manifest where a publish takes them from. Some of it may be there already.
    fn ready_to_return(
        &self,
        attempt: AttemptId,
        sector: SectorId,
        kind: FileKind,
        replaces: [u8; 32],
    ) -> Result<Option<(Switch, ManifestHead)>, StoreError> {
        let kept = self.layout().replaced(attempt, sector, kind);
        let (kept_head, kept_list) = kept_manifest(&kept);
        let (head, list) = self.new_manifest(attempt, sector, kind);
        let work = self.layout().work_replica(attempt, sector, kind);
        for (from, to) in [(&kept_list, &list), (&kept_head, &head), (&kept, &work)] {
            if !exists(self.disk(), from).doing("read", from)? {
                continue;
            }
            if let Some(dir) = to.parent() {
                make_dirs(self.disk(), dir).doing("create", dir)?;
            }
            remove_any(self.disk(), to).doing("remove", to)?;
            self.disk().rename(from, to).doing("rename", from)?;
            self.sync_parent(to)?;
        }
        self.sync_parent(&kept)?;
        let Some(found) = self.found(&work)? else { return Ok(None) };
        let bytes = read_all(self.disk(), &head, HEAD_BYTES_MAX).doing("read", &head)?;
        let read = ManifestHead::decode(&bytes);
        let read = read.map_err(|e| StoreError::Damaged { path: head.clone(), reason: e.to_string() })?;
        let switch = Switch { sector, kind, id: found.id, root: read.root, replaces: Some(replaces) };
        Ok(Some((switch, read)))
    }

    /// What the attempt keeps of what it replaced: by the manifests, which come first and go last.
    fn replaced_by(&self, attempt: AttemptId) -> Result<Vec<(SectorId, FileKind)>, StoreError> {
        let mut found = Vec::new();
        for (dir, suffix) in [(self.layout().replaced_dir(attempt), ".head"), (self.manifests_of(attempt), ".head")] {
            let entries = match self.disk().list(&dir) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.doing("list", &dir)?,
            };
            let named = entries.iter().filter_map(|entry| parse(entry.name.strip_suffix(suffix)?));
            found.extend(named.filter(|pair| !found.contains(pair)).collect::<Vec<_>>());
        }
        Ok(found)
    }
}

/// `<kind>-<sector>`, where a kind may have a dash of its own.
fn parse(name: &str) -> Option<(SectorId, FileKind)> {
    FileKind::ALL.into_iter().find_map(|kind| {
        let sector = name.strip_prefix(kind.name())?.strip_prefix('-')?.parse().ok()?;
        Some((sector, kind))
    })
}
