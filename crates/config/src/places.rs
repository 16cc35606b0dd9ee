//! Where things are: the socket and the state folder. They come from flags, variables and the XDG
//! rules alone, so that a broken configuration file never hides them.

use std::path::{Path, PathBuf};

use crate::environment::{Environment, FlagName};
use crate::explain::Explanation;
use crate::form::Form;
use crate::origin::{Origin, Setting};

/// Longest path a Unix socket can be bound to: `sun_path` holds 108 bytes, one of them the end.
const LONGEST_SOCKET_PATH: usize = 107;

/// Where the system form keeps its state, unless systemd says so (`StateDirectory=`).
const SYSTEM_STATE_DIR: &str = "/var/lib/keyward";

/// Where the system form's socket is, unless systemd says so (`RuntimeDirectory=`).
const SYSTEM_RUNTIME_DIR: &str = "/run/keyward";

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
    /// folder. In the system form: `--socket`, or `broker.sock` in the service's runtime folder.
    ///
    /// # Errors
    ///
    /// When there is no runtime folder (no other place is private *and* emptied at logout, so none
    /// is made up), or the path is relative or too long for a socket.
    pub fn socket(environment: &Environment) -> Result<Setting<PathBuf>, PlaceError> {
        let place = match given(environment, FlagName::Socket, "KEYWARD_SOCKET")? {
            Some(place) => place,
            None if environment.form() == Form::System => {
                let mut place = of_service(environment, "RUNTIME_DIRECTORY", SYSTEM_RUNTIME_DIR);
                place.value.push("broker.sock");
                place
            }
            None => Setting {
                value: runtime_dir(environment)?.join("keyward/broker.sock"),
                origin: origin_of(environment, "XDG_RUNTIME_DIR"),
            },
        };
        short_enough(place)
    }

    /// The state folder: `--state-dir`, `$KEYWARD_STATE_DIR`, or `$XDG_STATE_HOME/keyward`. In the
    /// system form, where it holds one folder for each user: `--state-dir`, or the service's.
    ///
    /// # Errors
    ///
    /// When the path is relative, or neither `XDG_STATE_HOME` nor `HOME` is set.
    pub fn state_dir(environment: &Environment) -> Result<Setting<PathBuf>, PlaceError> {
        if let Some(place) = given(environment, FlagName::StateDir, "KEYWARD_STATE_DIR")? {
            return Ok(place);
        }
        if environment.form() == Form::System {
            return Ok(of_service(environment, "STATE_DIRECTORY", SYSTEM_STATE_DIR));
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

/// A folder systemd made for the service (systemd.exec(5)); of several, the first.
fn of_service(environment: &Environment, variable: &str, usual: &str) -> Setting<PathBuf> {
    let given = environment.variable(variable);
    let first = given.and_then(|folders| std::env::split_paths(folders).next());
    match first.filter(|folder| folder.is_absolute()) {
        Some(value) => Setting {
            value,
            origin: Origin::Variable(variable.to_owned()),
        },
        None => Setting {
            value: PathBuf::from(usual),
            origin: Origin::Default,
        },
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

/// A socket's place that a variable names.
pub(crate) fn given_by_variable(
    environment: &Environment,
    variable: &str,
) -> Result<Option<Setting<PathBuf>>, PlaceError> {
    let Some(path) = environment.variable(variable).map(PathBuf::from) else {
        return Ok(None);
    };
    let origin = Origin::Variable(variable.to_owned());
    if path.is_relative() {
        return Err(PlaceError::Relative { origin, path });
    }
    short_enough(Setting {
        value: path,
        origin,
    })
    .map(Some)
}

fn short_enough(socket: Setting<PathBuf>) -> Result<Setting<PathBuf>, PlaceError> {
    if socket.value.as_os_str().len() > LONGEST_SOCKET_PATH {
        return Err(PlaceError::SocketPathTooLong(socket.value));
    }
    Ok(socket)
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
    fn the_system_form_is_where_its_service_is_and_no_variable_of_a_user_moves_it() {
        let environment = Environment::empty()
            .with_variable("XDG_RUNTIME_DIR", "/nonexistent/run")
            .with_variable("XDG_STATE_HOME", "/state")
            .with_variable("KEYWARD_SOCKET", "/tmp/s")
            .with_variable("KEYWARD_STATE_DIR", "/tmp/d");
        let places = Places::find(&environment.clone().of_system_form(None)).unwrap();
        assert_eq!(places.socket.value, Path::new("/run/keyward/broker.sock"));
        assert_eq!(places.state_dir.value, Path::new("/var/lib/keyward"));

        let service = environment
            .with_variable("RUNTIME_DIRECTORY", "/run/kw")
            .with_variable("STATE_DIRECTORY", "/var/lib/kw:/var/lib/more")
            .of_system_form(None);
        let places = Places::find(&service).unwrap();
        assert_eq!(places.socket.value, Path::new("/run/kw/broker.sock"));
        assert_eq!(places.state_dir.value, Path::new("/var/lib/kw"));
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
