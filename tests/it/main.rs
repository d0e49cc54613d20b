//! One integration binary. It runs the real command.

mod config;
