//! What only root can test.

use std::io::{self, Write as _};

/// Whether this test runs as root, who alone can look into processes that hold secrets and become
/// other users. If not, the terminal says what is not tested: past the test runner, which shows
/// nothing of what a test prints that passes.
#[must_use]
pub fn tests(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let _ = writeln!(io::stderr(), "\nSKIPPED, needs root: {what}");
    }
    root
}
