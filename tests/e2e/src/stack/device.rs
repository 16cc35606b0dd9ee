//! What holds the keys of a stack: files, or a TPM of its own.

use std::fmt;

use keyward_testkit::SoftwareTpm;

use super::{Stack, Tenant};

/// Where the configuration says that keys are to be made.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    /// In files of this user.
    InFiles,
    /// In the TPM reached this way.
    InTpm { tcti: String },
}

impl fmt::Display for Keys {
    /// The first lines of a configuration file: keys of no table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InFiles => writeln!(f, "key_protection = \"software\""),
            Self::InTpm { tcti } => {
                writeln!(f, "key_protection = \"tpm\"\ntpm.tcti = {tcti:?}")
            }
        }
    }
}

impl Stack {
    /// Everything runs, and keys are made in a TPM that nobody else has.
    pub fn with_tpm(tenant: Tenant) -> Self {
        let mut stack = Self::without_broker(tenant);
        stack.keep_keys_in_tpm();
        stack.start_keywardd();
        stack.start_session();
        stack
    }

    /// Writes into the configuration that keys are made in this login's TPM, which is started if
    /// there is none yet. For a keywardd that is started from now on.
    pub fn keep_keys_in_tpm(&mut self) {
        let tpm = self.tpm.get_or_insert_with(SoftwareTpm::start);
        self.keys = Keys::InTpm { tcti: tpm.tcti() };
        self.configure();
    }

    /// The TPM of this login. Panics when it has none.
    pub fn tpm(&self) -> &SoftwareTpm {
        self.tpm.as_ref().expect("this login has a TPM")
    }

    /// The same, to kill and to start again.
    pub fn tpm_mut(&mut self) -> &mut SoftwareTpm {
        self.tpm.as_mut().expect("this login has a TPM")
    }
}
