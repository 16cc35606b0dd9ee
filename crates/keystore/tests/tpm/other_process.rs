//! This program, started once more as another process: one of its tests that is not run otherwise.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use keyward_keystore::tpm::TpmKeyStore;

const TCTI: &str = "KEYWARD_TEST_TCTI";
const FOLDER: &str = "KEYWARD_TEST_FOLDER";

/// What an octet for the test begins with; the test harness never writes it.
const MARK: u8 = 0xff;

/// The other process, as the test sees it. It is killed when this is dropped.
pub struct OtherProcess {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl OtherProcess {
    /// Starts the test of this name with a TPM, a folder for keys and more variables.
    pub fn start(test: &str, tcti: &str, folder: &Path, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture", test])
            .env(TCTI, tcti)
            .env(FOLDER, folder)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self {
            child,
            input,
            output,
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn send(&mut self, octets: &[u8]) {
        self.input.write_all(octets).unwrap();
    }

    /// The next octet it says.
    pub fn hear(&mut self) -> u8 {
        let mut octet = [0];
        let mut marked = false;
        loop {
            self.output.read_exact(&mut octet).unwrap();
            if marked {
                return octet[0];
            }
            marked = octet[0] == MARK;
        }
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other process reads from the test, without a buffer in which copies would stay.
pub fn input() -> File {
    File::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap())
}

/// Says an octet to the test.
pub fn say(octet: u8) {
    let output = std::io::stdout().as_fd().try_clone_to_owned().unwrap();
    File::from(output).write_all(&[MARK, octet]).unwrap();
}

/// The provider the other process was told to open.
pub fn store() -> TpmKeyStore {
    let tcti = std::env::var(TCTI).unwrap();
    let folder = std::env::var_os(FOLDER).unwrap();
    TpmKeyStore::open(Path::new(&folder), &tcti).unwrap()
}
