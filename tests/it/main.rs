//! One integration binary. It runs the real command.

mod config;
//! Integration tests: one binary, against real proxies and a real Portcullis process.

#[cfg(test)]
mod support;

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod harness;
