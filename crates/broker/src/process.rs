//! What the kernel is told about this process before it holds anything.

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit, umask,
};

/// Keeps other processes of this user from reading this one's memory, and memory from reaching a
/// core file; files made from now on are the user's alone.
///
/// # Errors
///
/// When the kernel refuses, which it has no reason to: then nothing should be held here.
pub(crate) fn harden() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}
