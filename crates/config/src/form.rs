//! The two forms of the broker, and which of them serves this user.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::origin::{Origin, Setting};
use crate::places::{PlaceError, Places, given_by_variable};

/// The system form's socket.
const SYSTEM_SOCKET: &str = "/run/keyward/broker.sock";

/// The variable that names the system form's socket where it is not in its usual place.
pub(crate) const SYSTEM_SOCKET_VARIABLE: &str = "KEYWARD_SYSTEM_SOCKET";

/// Under whose uid the broker runs, and for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// One for each user, under the user's own uid, started on demand.
    #[default]
    Session,
    /// One for every local user, under a uid of its own, started by the system: what a user runs
    /// reaches neither vault nor keys.
    System,
}

impl Form {
    /// As status output names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::System => "system",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The broker a user's programs are to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerPlace {
    /// Its socket.
    pub socket: Setting<PathBuf>,
    /// Its form. Only a broker of the session form is started on demand.
    pub form: Form,
}

impl BrokerPlace {
    /// Which broker this user's programs use: the one at `$KEYWARD_SOCKET` if that is set, else
    /// the system form where it is installed, else the user's own.
    ///
    /// It is installed where the folder of its socket is there, which only root can make: a system
    /// broker that does not run is then an error to report, not a reason to use another one.
    ///
    /// # Errors
    ///
    /// As [`Places::socket`].
    pub fn find(environment: &Environment) -> Result<Self, PlaceError> {
        if environment.variable("KEYWARD_SOCKET").is_some() {
            let socket = Places::socket(environment)?;
            let form = if is_of_another_user(&socket.value, environment.uid()) {
                Form::System
            } else {
                Form::Session
            };
            return Ok(Self { socket, form });
        }
        let system = Self::system(environment)?;
        if folder_of(&system.socket.value).is_some_and(Path::is_dir) {
            return Ok(system);
        }
        Ok(Self {
            socket: Places::socket(environment)?,
            form: Form::Session,
        })
    }

    /// The system form's place, whether or not it is installed.
    ///
    /// # Errors
    ///
    /// When `$KEYWARD_SYSTEM_SOCKET` is relative or too long for a socket.
    pub fn system(environment: &Environment) -> Result<Self, PlaceError> {
        let socket = given_by_variable(environment, SYSTEM_SOCKET_VARIABLE)?;
        Ok(Self {
            socket: socket.unwrap_or_else(|| Setting {
                value: PathBuf::from(SYSTEM_SOCKET),
                origin: Origin::Default,
            }),
            form: Form::System,
        })
    }

    /// The place of the user's own broker, whether or not there is another.
    ///
    /// # Errors
    ///
    /// As [`Places::socket`].
    pub fn session(environment: &Environment) -> Result<Self, PlaceError> {
        Ok(Self {
            socket: Places::socket(&environment.clone().without_variable("KEYWARD_SOCKET"))?,
            form: Form::Session,
        })
    }
}

fn folder_of(socket: &Path) -> Option<&Path> {
    socket
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
}

fn is_of_another_user(socket: &Path, uid: u32) -> bool {
    let folder = folder_of(socket).and_then(|folder| fs::metadata(folder).ok());
    folder.is_some_and(|folder| folder.uid() != uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(folder: &Path) -> Environment {
        Environment::empty()
            .with_variable("XDG_RUNTIME_DIR", folder)
            .with_variable(SYSTEM_SOCKET_VARIABLE, folder.join("system/broker.sock"))
    }

    #[test]
    fn the_system_form_is_used_where_it_is_installed_whether_or_not_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let environment = login(folder.path());
        let own = BrokerPlace::find(&environment).unwrap();
        assert_eq!(own.form, Form::Session);
        assert_eq!(own.socket.value, folder.path().join("keyward/broker.sock"));

        fs::create_dir(folder.path().join("system")).unwrap();
        let system = BrokerPlace::find(&environment).unwrap();
        assert_eq!(system.form, Form::System);
        assert_eq!(
            system.socket.value,
            folder.path().join("system/broker.sock")
        );
        let own = BrokerPlace::session(&environment).unwrap();
        assert_eq!(own.socket.value, folder.path().join("keyward/broker.sock"));
    }

    #[test]
    fn a_socket_that_is_named_is_the_one_and_its_folder_says_whose() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("system")).unwrap();
        let named = folder.path().join("named/broker.sock");
        let environment = login(folder.path()).with_variable("KEYWARD_SOCKET", &named);
        let place = BrokerPlace::find(&environment).unwrap();
        assert_eq!((place.socket.value, place.form), (named, Form::Session));

        fs::create_dir(folder.path().join("named")).unwrap();
        assert_eq!(BrokerPlace::find(&environment).unwrap().form, Form::Session);
        let somebody_else = environment.uid() + 1;
        let environment = environment.with_uid(somebody_else);
        assert_eq!(BrokerPlace::find(&environment).unwrap().form, Form::System);
    }

    #[test]
    fn without_a_variable_it_is_where_the_service_makes_it() {
        let system = BrokerPlace::system(&Environment::empty()).unwrap();
        assert_eq!(system.socket.value, Path::new(SYSTEM_SOCKET));
        let relative = Environment::empty().with_variable(SYSTEM_SOCKET_VARIABLE, "run/x");
        assert!(matches!(
            BrokerPlace::system(&relative),
            Err(PlaceError::Relative { .. })
        ));
    }
}
