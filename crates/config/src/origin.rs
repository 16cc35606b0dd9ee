//! Where a value came from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from. Displayed as people look for it: `/etc/keyward/config.toml:3`,
/// `$KEYWARD_LOG`, `--log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of a configuration file.
    File {
        /// Whose file it is.
        layer: FileLayer,
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; 0 when the whole file is meant.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A command-line flag, without its dashes.
    Flag(String),
    /// The program that embeds the broker, by its name.
    Program(String),
}

/// Whose configuration file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileLayer {
    /// The administrator's: what it demands can only be tightened.
    System,
    /// The user's own.
    User,
}

impl Origin {
    /// Whether later layers may only tighten what came from here.
    pub fn is_administrator(&self) -> bool {
        matches!(
            self,
            Self::File {
                layer: FileLayer::System,
                ..
            }
        )
    }

    /// Whether both came from the same layer.
    pub(crate) fn same_layer(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File { layer: a, .. }, Self::File { layer: b, .. }) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0, .. } => write!(f, "{}", path.display()),
            Self::File { path, line, .. } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Program(name) => f.write_str(name),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value in force.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Setting<T> {
    /// A built-in value.
    pub(crate) fn default_of(value: T) -> Self {
        Self {
            value,
            origin: Origin::Default,
        }
    }

    /// Replaces the value by one of a later layer.
    pub(crate) fn set(&mut self, value: T, origin: &Origin) {
        self.value = value;
        self.origin = origin.clone();
    }
}

impl<T: Ord + fmt::Display> Setting<T> {
    /// Replaces the value by one of a later layer, unless that loosens what the administrator set.
    /// Greater is stricter.
    pub(crate) fn tighten(&mut self, value: T, origin: &Origin) -> Result<(), String> {
        if self.origin.is_administrator() && value < self.value {
            return Err(format!(
                "\"{value}\" would loosen \"{}\", which {} demands; only a stricter value is taken",
                self.value, self.origin
            ));
        }
        self.set(value, origin);
        Ok(())
    }
}
