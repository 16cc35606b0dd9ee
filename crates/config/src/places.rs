//! Where things are: the socket and the state folder. They come from flags, variables and the XDG
//! rules alone, so that a broken configuration file never hides them.

use std::path::{Path, PathBuf};

use crate::environment::{Environment, FlagName};
use crate::explain::Explanation;
use crate::origin::{Origin, Setting};

/// Longest path a Unix socket can be bound to: `sun_path` holds 108 bytes, one of them the end.
const LONGEST_SOCKET_PATH: usize = 107;

/// Where the broker's socket and state are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The broker's Unix socket.
    pub socket: Setting<PathBuf>,
    /// The folder that holds vault and keys.
    pub state_dir: Setting<PathBuf>,
}

impl Places {
    /// Both places.
    ///
    /// # Errors
    ///
    /// As [`socket`](Self::socket) and [`state_dir`](Self::state_dir).
    pub fn find(environment: &Environment) -> Result<Self, PlaceError> {
        Ok(Self {
            socket: Self::socket(environment)?,
            state_dir: Self::state_dir(environment)?,
        })
    }

    /// The socket: `--socket`, `$KEYWARD_SOCKET`, or `keyward/broker.sock` in the user's runtime
    /// folder.
    ///
    /// # Errors
    ///
    /// When there is no runtime folder (no other place is private *and* emptied at logout, so none
    /// is made up), or the path is relative or too long for a socket.
    pub fn socket(environment: &Environment) -> Result<Setting<PathBuf>, PlaceError> {
        let place = match given(environment, FlagName::Socket, "KEYWARD_SOCKET")? {
            Some(place) => place,
            None => Setting {
                value: runtime_dir(environment)?.join("keyward/broker.sock"),
                origin: origin_of(environment, "XDG_RUNTIME_DIR"),
            },
        };
        if place.value.as_os_str().len() > LONGEST_SOCKET_PATH {
            return Err(PlaceError::SocketPathTooLong(place.value));
        }
        Ok(place)
    }

    /// The state folder: `--state-dir`, `$KEYWARD_STATE_DIR`, or `$XDG_STATE_HOME/keyward`.
    ///
    /// # Errors
    ///
    /// When the path is relative, or neither `XDG_STATE_HOME` nor `HOME` is set.
    pub fn state_dir(environment: &Environment) -> Result<Setting<PathBuf>, PlaceError> {
        if let Some(place) = given(environment, FlagName::StateDir, "KEYWARD_STATE_DIR")? {
            return Ok(place);
        }
        if let Some(state) = environment.directory("XDG_STATE_HOME") {
            return Ok(Setting {
                value: state.join("keyward"),
                origin: origin_of(environment, "XDG_STATE_HOME"),
            });
        }
        let home = environment.directory("HOME").ok_or(PlaceError::NoHome)?;
        Ok(Setting {
            value: home.join(".local/state/keyward"),
            origin: Origin::Default,
        })
    }

    /// The vault's database.
    pub fn vault(&self) -> PathBuf {
        self.state_dir.value.join("vault.db")
    }

    /// The folder of the keys.
    pub fn keys_dir(&self) -> PathBuf {
        self.state_dir.value.join("keys")
    }

    /// Both places, for `keyward config check`.
    pub fn explain(&self) -> Vec<Explanation> {
        let row = |key: &str, variable: &str, doc: &str, place: &Setting<PathBuf>| Explanation {
            key: key.to_owned(),
            value: place.value.display().to_string(),
            origin: place.origin.clone(),
            variable: Some(variable.to_owned()),
            doc: doc.to_owned(),
        };
        vec![
            row(
                "socket",
                "KEYWARD_SOCKET",
                "The broker's socket; its folder is private to the user.",
                &self.socket,
            ),
            row(
                "state_dir",
                "KEYWARD_STATE_DIR",
                "The folder of vault and keys; on a local file system.",
                &self.state_dir,
            ),
        ]
    }
}

/// Why a place cannot be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// There is no runtime folder.
    #[error(
        "there is no runtime folder for the socket: XDG_RUNTIME_DIR is not set and {} does not \
         exist; log in through a session manager, or set KEYWARD_SOCKET to an absolute path in a \
         folder only you may enter",
        .0.display()
    )]
    NoRuntimeDir(PathBuf),
    /// The runtime folder is named and not there.
    #[error(
        "there is no runtime folder for the socket: XDG_RUNTIME_DIR names {}, which is no folder; \
         log in through a session manager, or set KEYWARD_SOCKET to an absolute path in a folder \
         only you may enter",
        .0.display()
    )]
    RuntimeDirMissing(PathBuf),
    /// There is no home directory.
    #[error(
        "there is no folder for the vault: neither XDG_STATE_HOME nor HOME is set to an absolute \
         path; set KEYWARD_STATE_DIR to an absolute path on a local disk"
    )]
    NoHome,
    /// A path was given that depends on the current directory.
    #[error("{origin} is {}, which is not an absolute path", path.display())]
    Relative {
        /// The flag or variable.
        origin: Origin,
        /// What it says.
        path: PathBuf,
    },
    /// The path does not fit a socket address.
    #[error(
        "{} is too long for a socket: {LONGEST_SOCKET_PATH} bytes are allowed; set KEYWARD_SOCKET \
         to a shorter path",
        .0.display()
    )]
    SocketPathTooLong(PathBuf),
}

/// `$XDG_RUNTIME_DIR`, or the place login managers give it where it is not passed on (ssh, cron).
fn runtime_dir(environment: &Environment) -> Result<PathBuf, PlaceError> {
    if let Some(dir) = environment.directory("XDG_RUNTIME_DIR") {
        // It is the login manager's to make and to empty; one of our making would be neither.
        return if dir.is_dir() {
            Ok(dir)
        } else {
            Err(PlaceError::RuntimeDirMissing(dir))
        };
    }
    let usual = Path::new("/run/user").join(environment.uid().to_string());
    if usual.is_dir() {
        Ok(usual)
    } else {
        Err(PlaceError::NoRuntimeDir(usual))
    }
}

fn given(
    environment: &Environment,
    flag: FlagName,
    variable: &str,
) -> Result<Option<Setting<PathBuf>>, PlaceError> {
    let (path, origin) = if let Some(path) = environment.flag(flag) {
        (PathBuf::from(path), Origin::Flag(flag.as_str().to_owned()))
    } else if let Some(path) = environment.variable(variable) {
        (PathBuf::from(path), Origin::Variable(variable.to_owned()))
    } else {
        return Ok(None);
    };
    if path.is_relative() {
        return Err(PlaceError::Relative { origin, path });
    }
    Ok(Some(Setting {
        value: path,
        origin,
    }))
}

fn origin_of(environment: &Environment, variable: &str) -> Origin {
    match environment.directory(variable) {
        Some(_) => Origin::Variable(variable.to_owned()),
        None => Origin::Default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_beat_the_xdg_folders() {
        let runtime = tempfile::tempdir().unwrap();
        let environment = Environment::empty()
            .with_variable("XDG_RUNTIME_DIR", runtime.path())
            .with_variable("XDG_STATE_HOME", "/state")
            .with_variable("HOME", "/home/u");
        let places = Places::find(&environment).unwrap();
        assert_eq!(
            places.socket.value,
            runtime.path().join("keyward/broker.sock")
        );
        assert_eq!(places.vault(), Path::new("/state/keyward/vault.db"));

        let environment = environment
            .with_variable("KEYWARD_SOCKET", "/tmp/s")
            .with_variable("KEYWARD_STATE_DIR", "/tmp/d");
        let places = Places::find(&environment).unwrap();
        assert_eq!(places.socket.value, Path::new("/tmp/s"));
        assert_eq!(
            places.socket.origin,
            Origin::Variable("KEYWARD_SOCKET".to_owned())
        );
        assert_eq!(places.keys_dir(), Path::new("/tmp/d/keys"));
    }

    #[test]
    fn flags_beat_variables() {
        let environment = Environment::empty()
            .with_variable("KEYWARD_SOCKET", "/tmp/s")
            .with_flag(FlagName::Socket, "/tmp/f");
        let socket = Places::socket(&environment).unwrap();
        assert_eq!(socket.value, Path::new("/tmp/f"));
        assert_eq!(socket.origin.to_string(), "--socket");
    }

    #[test]
    fn relative_xdg_folders_are_ignored_and_relative_own_ones_refused() {
        let environment = Environment::empty()
            .with_variable("XDG_STATE_HOME", "state")
            .with_variable("HOME", "/home/u");
        assert_eq!(
            Places::state_dir(&environment).unwrap().value,
            Path::new("/home/u/.local/state/keyward")
        );
        let environment = environment.with_variable("KEYWARD_STATE_DIR", "state");
        assert!(matches!(
            Places::state_dir(&environment),
            Err(PlaceError::Relative { .. })
        ));
    }

    #[test]
    fn no_place_is_made_up() {
        let mut environment = Environment::empty();
        assert_eq!(Places::state_dir(&environment), Err(PlaceError::NoHome));
        environment = environment.with_uid(u32::MAX - 7);
        let error = Places::socket(&environment).unwrap_err();
        assert!(error.to_string().contains("XDG_RUNTIME_DIR is not set"));
        environment = environment.with_variable("XDG_RUNTIME_DIR", "/nonexistent/run");
        let error = Places::socket(&environment).unwrap_err();
        assert!(error.to_string().contains("names /nonexistent/run, which"));
    }

    #[test]
    fn a_path_no_socket_can_have_is_refused_here() {
        let long = format!("/{}", "x".repeat(LONGEST_SOCKET_PATH));
        let environment = Environment::empty().with_variable("KEYWARD_SOCKET", long);
        assert!(matches!(
            Places::socket(&environment),
            Err(PlaceError::SocketPathTooLong(_))
        ));
    }
}
