//! The stages of sealing and proving, one file each.
