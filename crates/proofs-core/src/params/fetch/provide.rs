//! Making sure of a set before work begins: there, whole, and fetched if it is not.

use std::path::Path;

use sp_types::SectorSize;

use super::super::Kind;
use super::super::check::{Checked, Origin, check_structure};
use super::super::error::ParamsError;
use super::bring::fetch;
use super::error::FetchError;
use super::options::FetchOptions;
use super::progress::{FetchProgress, Reporter};
use super::wanted::Wanted;
use super::{check_in, seen};

/// As [`check_structure`](super::check_structure), but with options a published set is looked at as a whole the first
/// time that it is met, and one that is missing or damaged is fetched.
///
/// A set in a directory that cannot be written to is not looked at as a whole: every start would take minutes.
pub fn provide(
    kind: Kind,
    size: SectorSize,
    dir: &Path,
    options: Option<&FetchOptions>,
    progress: &dyn Fn(&FetchProgress),
) -> Result<Checked, FetchError> {
    let checked = check_structure(kind, size, dir);
    let Some(options) = options else { return Ok(checked?) };
    let wanted = Wanted::published(&[kind], size);
    match checked {
        Ok(checked) if checked.origin != Origin::Published || is_whole(&wanted, dir, options, progress)? => Ok(checked),
        Ok(_) | Err(ParamsError::Missing { .. } | ParamsError::Damaged { .. }) => {
            fetch(&wanted, dir, options, progress)?;
            Ok(check_structure(kind, size, dir)?)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether all these files have their digests, as far as that can be remembered.
pub(super) fn is_whole(
    wanted: &[Wanted],
    dir: &Path,
    options: &FetchOptions,
    progress: &dyn Fn(&FetchProgress),
) -> Result<bool, FetchError> {
    for (index, file) in wanted.iter().enumerate() {
        let path = dir.join(&file.name);
        if seen::is_recorded(&path, &file.digest) || !seen::is_possible(&path) {
            continue;
        }
        let mut reporter = Reporter::new(file, index, wanted.len(), options.report_every, progress);
        if check_in::right_length(&path, &file.digest, &mut reporter)?.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}
