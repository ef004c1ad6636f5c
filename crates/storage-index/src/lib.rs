//! storage-index
