//! Compiles our own messages. protox is a Rust protobuf compiler: no `protoc` is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "proto/portcullis/v1/revocation.proto";
    println!("cargo:rerun-if-changed={file}");
    tonic_prost_build::configure().compile_fds(protox::compile([file], ["proto"])?)?;
    Ok(())
}
