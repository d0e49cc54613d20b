//! The command: parse the command line, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use portcullis::Cli;

// musl's own allocator is several times slower.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Whatever speaks TLS later finds this one; a second provider in the process would be a bug.
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing ran before that could have installed another");
    Cli::parse().run()
}
