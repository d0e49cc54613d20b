//! The parts in order.
mod tasks;
