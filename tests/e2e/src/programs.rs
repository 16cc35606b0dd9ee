//! The binaries that ship.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, fs};

use keyward_testkit::Login;

/// The programs the one binary is.
const PROGRAMS: [&str; 4] = ["keyward", "keywardd", "keyward-session", "keyward-dev"];

/// How to build what the tests run.
const BUILD: &str = "`cargo build --package keyward-dev --package keyward-broker \
                     --package keyward-session --package keyward-cli`";

/// The binary for developers: `KEYWARD_E2E_BINARY`, or the one cargo built beside this test.
///
/// Panics when there is none, saying how to build it.
pub fn binary() -> PathBuf {
    let chosen = env::var_os("KEYWARD_E2E_BINARY").map(PathBuf::from);
    existing(chosen.unwrap_or_else(|| {
        let this = env::current_exe().expect("a program knows its own file");
        // Tests run from target/PROFILE/deps, programs from target/PROFILE.
        let folders = this.ancestors().skip(1);
        let mut profile = folders.skip_while(|folder| folder.ends_with("deps"));
        profile
            .next()
            .expect("it is in a folder")
            .join("keyward-dev")
    }))
}

/// The binary of one program, as a package of the broker holds it: beside the one for developers.
///
/// Panics when there is none, saying how to build it.
pub fn own_binary(program: &str) -> PathBuf {
    existing(binary().with_file_name(program))
}

fn existing(binary: PathBuf) -> PathBuf {
    let shown = binary.display();
    assert!(
        binary.is_file(),
        "there is no {shown}; run {BUILD}, or all of `cargo xtask test`"
    );
    binary
}

/// Links the programs into the login's `bin` folder: all of them the one binary for developers.
pub fn install(login: &Login) {
    for program in PROGRAMS {
        link(login, program, &binary());
    }
}

/// Puts the programs into the login's `bin` folder, each a binary of its own, as a package does.
/// `keyward-dev` is there only for the person in front of the browser.
pub fn install_package(login: &Login) {
    link(login, "keyward-dev", &binary());
    for program in ["keyward", "keywardd", "keyward-session"] {
        install_own(login, program);
    }
}

/// Puts one program of the package into the login's `bin` folder. A file and no symbolic link: it
/// looks for the others beside itself.
pub fn install_own(login: &Login, program: &str) {
    let (binary, installed) = (own_binary(program), login.path("bin").join(program));
    if fs::hard_link(&binary, &installed).is_err() {
        fs::copy(&binary, &installed).expect("a program can be copied");
    }
}

fn link(login: &Login, program: &str, binary: &Path) {
    let folder = login.path("bin");
    fs::create_dir_all(&folder).expect("a folder can be made");
    symlink(binary, folder.join(program)).expect("a link can be made");
}

/// A folder of the project. Known at run time: what was compiled in may be another clone's that
/// shares the target folder.
pub fn project_folder(part: &str) -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR").expect("tests run under cargo");
    Path::new(&package).join("../..").join(part)
}

/// The folder of the Node.js programs.
pub fn node_folder() -> PathBuf {
    let folder = project_folder("tests/e2e/node");
    assert!(
        folder.join("node_modules").is_dir(),
        "the Node.js packages are not installed; run `cargo xtask setup`"
    );
    folder
}
