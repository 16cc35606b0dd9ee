//! Bus addresses (D-Bus Specification, "Server Addresses"): Unix sockets only, because a bus that
//! cannot vouch for its users is of no use to us.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use tokio::net::UnixStream;

/// Where a bus listens: the usable ones among the addresses in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusAddress {
    text: String,
    sockets: Vec<Socket>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Socket {
    Path(PathBuf),
    Abstract(Vec<u8>),
}

/// An address no bus can be reached at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bus address {text:?} names no unix socket")]
pub struct InvalidAddress {
    text: String,
}

impl BusAddress {
    /// Parses a list of addresses, such as `unix:path=/run/user/1000/bus`.
    ///
    /// # Errors
    ///
    /// When none of them is a Unix socket.
    pub fn parse(text: &str, runtime_dir: Option<&OsStr>) -> Result<Self, InvalidAddress> {
        let sockets: Vec<Socket> = text
            .split(';')
            .filter_map(|address| socket(address, runtime_dir))
            .collect();
        if sockets.is_empty() {
            return Err(InvalidAddress {
                text: text.to_owned(),
            });
        }
        Ok(Self {
            text: text.to_owned(),
            sockets,
        })
    }

    /// The session bus, from the environment: `$DBUS_SESSION_BUS_ADDRESS`, else
    /// `$XDG_RUNTIME_DIR/bus`.
    ///
    /// # Errors
    ///
    /// When neither is set, or the address is unusable.
    pub fn session() -> Result<Self, InvalidAddress> {
        let runtime_dir = std::env::var_os("XDG_RUNTIME_DIR");
        match std::env::var("DBUS_SESSION_BUS_ADDRESS") {
            Ok(text) => Self::parse(&text, runtime_dir.as_deref()),
            Err(_) => Self::parse("unix:runtime=yes", runtime_dir.as_deref()),
        }
    }

    /// The address as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Connects to the first socket that answers.
    pub(crate) async fn connect(&self) -> io::Result<UnixStream> {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for socket in &self.sockets {
            let path = match socket {
                Socket::Path(path) => path.clone(),
                // Tokio takes a leading NUL for the abstract namespace.
                Socket::Abstract(name) => {
                    let mut path = vec![0];
                    path.extend_from_slice(name);
                    PathBuf::from(OsString::from_vec(path))
                }
            };
            match UnixStream::connect(path).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

fn socket(address: &str, runtime_dir: Option<&OsStr>) -> Option<Socket> {
    let options = address.strip_prefix("unix:")?;
    options.split(',').find_map(|option| {
        let (key, value) = option.split_once('=')?;
        let value = unescape(value)?;
        match key {
            "path" => Some(Socket::Path(PathBuf::from(OsString::from_vec(value)))),
            "abstract" => Some(Socket::Abstract(value)),
            "runtime" if value == b"yes" => {
                let path = PathBuf::from(runtime_dir?).join("bus");
                Some(Socket::Path(path))
            }
            _ => None,
        }
    })
}

/// Reads `%XX`.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = OsStr::new(text).as_bytes().iter();
    let mut value = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            value.push(*byte);
            continue;
        }
        let mut digit = || char::from(*bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        value.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sockets(text: &str) -> Vec<Socket> {
        BusAddress::parse(text, Some(OsStr::new("/run/user/7")))
            .map(|address| address.sockets)
            .unwrap_or_default()
    }

    #[test]
    fn addresses_are_read_as_the_specification_writes_them() {
        assert_eq!(
            sockets("unix:path=/tmp/a%2cb,guid=00"),
            [Socket::Path("/tmp/a,b".into())]
        );
        assert_eq!(
            sockets("tcp:host=localhost,port=1;unix:abstract=/tmp/x"),
            [Socket::Abstract(b"/tmp/x".to_vec())]
        );
        assert_eq!(
            sockets("unix:runtime=yes"),
            [Socket::Path("/run/user/7/bus".into())]
        );
    }

    #[test]
    fn what_is_no_unix_socket_is_refused() {
        for text in ["", "unix:", "tcp:host=x", "unix:path=%4", "autolaunch:"] {
            assert!(sockets(text).is_empty(), "{text:?}");
        }
    }
}
