//! Threads that give way to those that answer checks.
//!
//! A sender may deliver hundreds of events at once. On the threads of the checks, each check would
//! wait behind those that came before it. So events are handled, and the log is written, on threads
//! of their own, with less weight: they take the time that checks leave, and at least a tenth of
//! it (`setpriority(2)`).

use rustix::process::setpriority_process;
use rustix::thread::gettid;

/// A tenth of the weight of a thread of the checks, see sched(7).
const NICENESS: i32 = 10;

/// Makes the thread that calls it give way. On Linux a niceness belongs to a thread. Where it is
/// not allowed, the thread goes on as before.
pub fn lower_priority() {
    let _ = setpriority_process(Some(gettid()), NICENESS);
}
