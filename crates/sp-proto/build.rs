//! Compiles `proto/sp/v1/*.proto` without protoc.
// A build script.
#![allow(clippy::disallowed_methods)]

use std::path::{Path, PathBuf};

type AnyError = Box<dyn std::error::Error>;

fn main() -> Result<(), AnyError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let files = ["common", "worker", "scheduler", "index", "data", "child", "disk", "state"]
        .map(|name| format!("sp/v1/{name}.proto"));
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true).open_files(files)?;
    // protox's own encoding keeps custom options that prost-types would drop.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("sp_descriptor.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure()
        .skip_debug([".sp.v1.HttpHeader"])
        .bytes(".sp.v1.FileChunk.data")
        .bytes(".sp.v1.UploadPart.data")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
