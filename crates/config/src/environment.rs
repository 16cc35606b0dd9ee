//! What a program was started with, captured once, so that nothing below reads global state.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::authority::AuthorityEntry;
use crate::form::Form;
use crate::key;
use crate::origin::FileLayer;

/// The administrator's configuration file.
const SYSTEM_FILE: &str = "/etc/keyward/config.toml";

/// What a program was started with: variables, uid, flags, and the files to read.
///
/// `Debug` shows no values: an environment may hold anybody's secrets.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    uid: u32,
    system_file: Option<PathBuf>,
    /// Whether the administrator's file is another one than the usual.
    system_file_named: bool,
    flags: Vec<(FlagName, String)>,
    program: Option<(String, Vec<AuthorityEntry>)>,
    form: Form,
}

/// The name of a key that can be given as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagName {
    /// `--log`
    Log,
    /// `--key-protection`
    KeyProtection,
    /// `--socket`
    Socket,
    /// `--state-dir`
    StateDir,
}

impl FlagName {
    /// The flag without its dashes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::KeyProtection => "key-protection",
            Self::Socket => "socket",
            Self::StateDir => "state-dir",
        }
    }
}

impl Environment {
    /// This process's environment and uid, and the administrator's file in `/etc`.
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            uid: rustix::process::geteuid().as_raw(),
            system_file: Some(PathBuf::from(SYSTEM_FILE)),
            system_file_named: false,
            flags: Vec::new(),
            program: None,
            form: Form::Session,
        }
    }

    /// No variables and no files: what tests and private brokers start from.
    pub fn empty() -> Self {
        Self {
            variables: BTreeMap::new(),
            uid: rustix::process::geteuid().as_raw(),
            system_file: None,
            system_file_named: false,
            flags: Vec::new(),
            program: None,
            form: Form::Session,
        }
    }

    /// For a broker of the system form: the administrator's file, or `file` in its place, and
    /// flags. Of the variables only those count in which systemd names the service's folders; what
    /// a user could set, in a login the service was started from, counts for nothing.
    #[must_use]
    pub fn of_system_form(mut self, file: Option<&Path>) -> Self {
        let of_service = ["RUNTIME_DIRECTORY", "STATE_DIRECTORY"];
        self.variables
            .retain(|name, _| of_service.iter().any(|kept| name == kept));
        if let Some(file) = file {
            self.system_file = Some(file.to_owned());
            self.system_file_named = true;
        }
        self.form = Form::System;
        self
    }

    /// The form of the broker this is for.
    pub fn form(&self) -> Form {
        self.form
    }

    /// As if this variable were not set.
    pub(crate) fn without_variable(mut self, name: &str) -> Self {
        self.variables.remove(OsStr::new(name));
        self
    }

    /// With this variable set.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .insert(name.into(), value.as_ref().to_owned());
        self
    }

    /// With this file as the administrator's. `None`: there is none.
    #[must_use]
    pub fn with_system_file(mut self, path: Option<&Path>) -> Self {
        self.system_file = path.map(Path::to_owned);
        self
    }

    /// With this flag given on the command line.
    #[must_use]
    pub fn with_flag(mut self, name: FlagName, value: &str) -> Self {
        self.flags.push((name, value.to_owned()));
        self
    }

    /// With authorities the program named `program` adds itself, as the last layer.
    #[must_use]
    pub fn with_authorities(mut self, program: &str, authorities: Vec<AuthorityEntry>) -> Self {
        self.program = Some((program.to_owned(), authorities));
        self
    }

    /// A variable's value. Empty ones count as not set.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables
            .get(OsStr::new(name))
            .map(OsString::as_os_str)
            .filter(|value| !value.is_empty())
    }

    /// As if run by this uid.
    #[cfg(test)]
    pub(crate) fn with_uid(mut self, uid: u32) -> Self {
        self.uid = uid;
        self
    }

    /// The uid the program runs as.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The directory a variable of the XDG Base Directory Specification names. Relative paths are
    /// to be ignored, the specification says.
    pub(crate) fn directory(&self, name: &str) -> Option<PathBuf> {
        self.variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    }

    /// The configuration files to read, weakest first. Only one that was named has to exist.
    pub(crate) fn config_files(&self) -> Vec<(FileSource, PathBuf)> {
        let source = if self.system_file_named {
            FileSource::NamedSystem
        } else {
            FileSource::System
        };
        let system = self.system_file.clone().map(|path| (source, path));
        let user = match self.variable(key::CONFIG_VARIABLE) {
            Some(path) => Some((FileSource::Named, PathBuf::from(path))),
            None => self.user_file().map(|path| (FileSource::User, path)),
        };
        system.into_iter().chain(user).collect()
    }

    /// What a broker has to be able to read to see its configuration change: the folders of its
    /// files, because editors put a new file in the old one's place. A file stands for itself where
    /// its folder holds other things as well.
    pub fn configuration_places(&self) -> Vec<PathBuf> {
        let files = self.config_files().into_iter();
        let place = |(_, file): (FileSource, PathBuf)| match file.parent() {
            Some(folder) if self.is_own(folder) => folder.to_owned(),
            _ => file,
        };
        files.map(place).collect()
    }

    /// Whether a folder is further down than those everybody's files are in.
    fn is_own(&self, folder: &Path) -> bool {
        let at_home = self.directory("HOME");
        let holds_home = at_home.is_some_and(|home| home.starts_with(folder));
        folder.is_absolute() && folder.components().count() > 2 && !holds_home
    }

    /// `$XDG_CONFIG_HOME/keyward/config.toml`; `None` without a home directory.
    fn user_file(&self) -> Option<PathBuf> {
        self.directory("XDG_CONFIG_HOME")
            .or_else(|| self.directory("HOME").map(|home| home.join(".config")))
            .map(|config| config.join("keyward/config.toml"))
    }

    /// Names and values of variables that begin with `KEYWARD_`.
    pub(crate) fn own_variables(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.variables.iter().filter_map(|(name, value)| {
            let name = name.to_str().filter(|name| name.starts_with("KEYWARD_"))?;
            (!value.is_empty()).then_some((name, value.as_os_str()))
        })
    }

    pub(crate) fn flags(&self) -> &[(FlagName, String)] {
        &self.flags
    }

    /// The last value given for a flag.
    pub(crate) fn flag(&self, wanted: FlagName) -> Option<&str> {
        self.flags
            .iter()
            .rev()
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn program(&self) -> Option<(&str, &[AuthorityEntry])> {
        self.program
            .as_ref()
            .map(|(name, entries)| (name.as_str(), entries.as_slice()))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("uid", &self.uid)
            .field("system_file", &self.system_file)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// How a configuration file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSource {
    /// The administrator's place.
    System,
    /// The file named in its place: it has to exist.
    NamedSystem,
    /// The user's place.
    User,
    /// `$KEYWARD_CONFIG`: it has to exist.
    Named,
}

impl FileSource {
    pub(crate) const fn layer(self) -> FileLayer {
        match self {
            Self::System | Self::NamedSystem => FileLayer::System,
            Self::User | Self::Named => FileLayer::User,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_opens_no_folder_of_everybody() {
        let places = |named: &str| {
            Environment::empty()
                .with_variable("HOME", "/home/u")
                .with_variable("KEYWARD_CONFIG", named)
                .configuration_places()
        };
        for file in ["/home/u/kw.toml", "/tmp/kw.toml", "/dev/null", "/kw.toml"] {
            assert_eq!(places(file), [Path::new(file)]);
        }
        let own = places("/home/u/dotfiles/kw.toml");
        assert_eq!(own, [Path::new("/home/u/dotfiles")]);
    }

    #[test]
    fn the_usual_files_stand_for_their_folders() {
        let environment = Environment::empty()
            .with_system_file(Some(Path::new(SYSTEM_FILE)))
            .with_variable("HOME", "/home/u");
        let folders = ["/etc/keyward", "/home/u/.config/keyward"].map(PathBuf::from);
        assert_eq!(environment.configuration_places(), folders);
    }
}
