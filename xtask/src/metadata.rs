//! What `cargo metadata` says, as far as the tasks need it.

use std::path::PathBuf;

use serde::Deserialize;

use crate::steps::{Failure, cargo, output};

/// One fixed platform, so that the answers are the same everywhere.
pub const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The part of `cargo metadata`'s answer that is used here.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Every package; of the workspace alone with `--no-deps`.
    pub packages: Vec<Package>,
    /// Identifiers of the workspace's members.
    pub workspace_members: Vec<String>,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its identifier.
    pub id: String,
    /// Its licence expression.
    pub license: Option<String>,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// What it asks for, before resolution.
    #[serde(default)]
    pub dependencies: Vec<Dependency>,
}

/// One line under `[dependencies]`, `[dev-dependencies]` or `[build-dependencies]`.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The name of the package depended on.
    pub name: String,
    /// `None` for `[dependencies]`, else `dev` or `build`.
    pub kind: Option<String>,
    /// Features asked for, those of `[workspace.dependencies]` included.
    #[serde(default)]
    pub features: Vec<String>,
    /// The folder, for a package of this workspace.
    pub path: Option<PathBuf>,
}

impl Dependency {
    /// Whether only tests, examples and benchmarks see it.
    pub fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

impl Metadata {
    /// The workspace's own packages with what they ask for.
    pub fn of_workspace() -> Result<Self, Failure> {
        Self::ask(&["metadata", "--format-version", "1", "--no-deps"])
    }

    /// Every package a build for Linux may need, as the lock file says.
    pub fn of_everything() -> Result<Self, Failure> {
        let mut arguments = vec!["metadata", "--format-version", "1", "--locked"];
        arguments.extend(["--filter-platform", PLATFORM]);
        Self::ask(&arguments)
    }

    fn ask(arguments: &[&str]) -> Result<Self, Failure> {
        let text = output(&mut cargo(arguments))
            .ok_or_else(|| Failure::new(format!("`cargo {}` failed", arguments.join(" "))))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("cannot read cargo's metadata: {error}")))
    }
}
