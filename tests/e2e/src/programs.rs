//! The binary that ships, under the names of its programs.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::{env, fs};

use keyward_testkit::Login;

/// The programs the one binary is.
const PROGRAMS: [&str; 4] = ["keyward", "keywardd", "keyward-session", "keyward-dev"];

/// The binary under test: `KEYWARD_E2E_BINARY`, or the one cargo built beside this test.
///
/// Panics when there is none, saying how to build it.
pub fn binary() -> PathBuf {
    let chosen = env::var_os("KEYWARD_E2E_BINARY").map(PathBuf::from);
    let binary = chosen.unwrap_or_else(|| {
        let test = env::current_exe().expect("a test knows its own file");
        let folder = test.parent().and_then(|deps| deps.parent());
        folder
            .expect("tests run from target/PROFILE/deps")
            .join("keyward-dev")
    });
    assert!(
        binary.is_file(),
        "there is no {}; run `cargo build --package keyward-dev`, or all of `cargo xtask test`",
        binary.display()
    );
    binary
}

/// Links the programs into the login's `bin` folder, as a package would install them.
pub fn install(login: &Login) {
    let folder = login.path("bin");
    fs::create_dir_all(&folder).expect("a folder can be made");
    for program in PROGRAMS {
        symlink(binary(), folder.join(program)).expect("a link can be made");
    }
}

/// The folder of the Node.js programs.
pub fn node_folder() -> PathBuf {
    // At run time: what was compiled in may be another clone's that shares the target folder.
    let project = env::var_os("CARGO_MANIFEST_DIR").expect("tests run under cargo");
    let folder = PathBuf::from(project).join("node");
    assert!(
        folder.join("node_modules").is_dir(),
        "the Node.js packages are not installed; run `cargo xtask setup`"
    );
    folder
}
