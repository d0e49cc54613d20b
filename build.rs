//! Compiles our own messages. protox is a Rust protobuf compiler: no `protoc` is needed.

use std::path::Path;

use protox::Compiler;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let admin = "proto/portcullis/admin/v1/admin.proto";
    let files = [
        "proto/portcullis/v1/revocation.proto",
        "proto/portcullis/v1/batch.proto",
        admin,
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    tonic_prost_build::configure().compile_fds(protox::compile(files, ["proto"])?)?;
    // What reflection tells of the admin API.
    let mut compiler = Compiler::new(["proto"])?;
    compiler.include_imports(true).open_file(admin)?;
    let descriptors = Path::new(&std::env::var("OUT_DIR")?).join("admin.bin");
    std::fs::write(descriptors, compiler.encode_file_descriptor_set())?;
    Ok(())
}
