//! A private place on disk for one demo or session: vault, socket, configuration, links.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::DevError;

/// The programs this binary also is.
pub const PROGRAMS: [&str; 4] = ["keyward", "keywardd", "keyward-session", "keyward-dev"];

/// A folder of its own under the temporary directory, removed when dropped.
#[derive(Debug)]
pub struct Place {
    root: TempDir,
}

impl Place {
    /// Makes the folder with its state folder and the links to this binary.
    ///
    /// # Errors
    ///
    /// When the temporary directory cannot be written.
    pub fn create() -> Result<Self, DevError> {
        let this = std::env::current_exe().map_err(DevError::io("find this program's file"))?;
        Self::with_programs(|_| this.clone())
    }

    /// The same with links to other binaries: `binary` says which, given a program's name.
    ///
    /// # Errors
    ///
    /// When the temporary directory cannot be written.
    pub fn with_programs(binary: impl Fn(&str) -> PathBuf) -> Result<Self, DevError> {
        let root = tempfile::Builder::new()
            .prefix("keyward-dev-")
            .tempdir()
            .map_err(DevError::io("make a temporary folder"))?;
        let place = Self { root };
        for folder in [place.state(), place.programs(), place.run()] {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(&folder)
                .map_err(DevError::io("make a temporary folder"))?;
        }
        for program in PROGRAMS {
            symlink(binary(program), place.program(program))
                .map_err(DevError::io("link to a program"))?;
        }
        Ok(place)
    }

    /// The folder with the links, for `PATH`.
    pub fn programs(&self) -> PathBuf {
        self.root.path().join("bin")
    }

    /// The path of one of [`PROGRAMS`].
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }

    /// The vault's folder.
    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// The folder of sockets.
    pub fn run(&self) -> PathBuf {
        self.root.path().join("run")
    }

    /// The broker's socket.
    pub fn socket(&self) -> PathBuf {
        self.run().join("broker.sock")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.root.path().join("config.toml")
    }

    /// Writes the configuration file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_config(&self, text: &str) -> Result<(), DevError> {
        fs::write(self.config(), text).map_err(DevError::io("write the configuration"))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        self.root.path()
    }
}
