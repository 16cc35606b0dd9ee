//! Another device, with a copy of everything a stack's broker has but its TPM.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use keyward_testkit::{Process, SoftwareTpm, wait};

use crate::stack::Stack;
use crate::typed::Typed;
use crate::{SOON, cli};

/// A keywardd at another device. It shares nothing with the stack but the authority; dropped, it is
/// gone.
pub struct Elsewhere {
    folder: PathBuf,
    keywardd: Process,
    /// The other device's TPM.
    pub tpm: SoftwareTpm,
}

impl Elsewhere {
    /// Copies vault, key files and configuration of a stack beside another TPM, and starts a
    /// keywardd there. The configuration names the same place for the TPM, as far as two of them can
    /// be reached in one place.
    pub fn with_a_copy(stack: &mut Stack) -> Self {
        let tpm = SoftwareTpm::start();
        let folder = stack.login.path("elsewhere");
        // Nothing is half written.
        stack.kill_keywardd();
        copy(&stack.login.path("state/keyward"), &folder.join("state"));
        stack.start_keywardd();
        let configuration = fs::read_to_string(stack.configuration_file());
        let configuration = configuration.expect("the configuration is text");
        let configuration = configuration.replace(&stack.tpm().tcti(), &tpm.tcti());
        fs::write(folder.join("keyward.toml"), configuration).expect("it can be written");
        let mut command = stack.command("keywardd");
        move_to(&folder, &mut command).env("KEYWARD_DEV_MAPPING", stack.well_known_names());
        let mut keywardd = Process::start("elsewhere", &mut command, &stack.login.logs());
        wait::until("a keywardd elsewhere", SOON, || {
            assert!(keywardd.is_running(), "{}", keywardd.output());
            UnixStream::connect(socket(&folder)).ok()
        });
        Self {
            folder,
            keywardd,
            tpm,
        }
    }

    /// A connection to its socket.
    pub fn typed(&self) -> Typed {
        Typed::at_socket(&socket(&self.folder)).expect("keywardd listens")
    }

    /// Runs the command line at the other device.
    pub fn keyward(&self, stack: &Stack, arguments: &[&str]) -> cli::Run {
        let mut command = cli::command(stack, arguments);
        cli::run(stack, move_to(&self.folder, &mut command))
    }

    /// Whether its keywardd runs.
    pub fn is_running(&mut self) -> bool {
        self.keywardd.is_running()
    }
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("run/broker.sock")
}

fn move_to<'a>(folder: &Path, command: &'a mut Command) -> &'a mut Command {
    command
        .env("KEYWARD_SOCKET", socket(folder))
        .env("KEYWARD_STATE_DIR", folder.join("state"))
        .env("KEYWARD_CONFIG", folder.join("keyward.toml"))
}

/// Copies a folder with everything in it, for this user alone.
fn copy(from: &Path, to: &Path) {
    let mut folder = fs::DirBuilder::new();
    let made = folder.recursive(true).mode(0o700).create(to);
    made.expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder can be listed") {
        let entry = entry.expect("a folder can be listed");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("a file can be copied");
            let own = fs::Permissions::from_mode(0o600);
            fs::set_permissions(target, own).expect("it is ours");
        }
    }
}
