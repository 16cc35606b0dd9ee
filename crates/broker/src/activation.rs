//! A socket that is there before keywardd is: a service manager listens, and passes it on when
//! somebody connects (`sd_listen_fds(3)`).

use std::env;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::net::{AddressFamily, sockopt};

/// The names a socket of ours may have: that of its unit, which is systemd's default, and
/// `FileDescriptorName=broker`.
const NAMES: &[&str] = &["keywardd.socket", "broker"];

/// The socket passed by `$LISTEN_FDS`, or as standard input (`StandardInput=socket`). `None`:
/// nobody passed one.
///
/// # Errors
///
/// When sockets are passed and none of them is one to serve callers on.
pub(crate) fn passed() -> io::Result<Option<UnixListener>> {
    if is_for_us() {
        return by_number().map(Some);
    }
    Ok(listening(io::stdin()))
}

/// Whether `$LISTEN_FDS` means this process: variables are inherited, sockets not always.
fn is_for_us() -> bool {
    let pid = std::process::id().to_string();
    env::var("LISTEN_PID").is_ok_and(|meant| meant == pid) && env::var_os("LISTEN_FDS").is_some()
}

fn by_number() -> io::Result<UnixListener> {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut sockets = ListenFd::from_env();
    let candidates = (0..sockets.len()).filter(|index| is_ours(&names, *index));
    for index in candidates {
        // Of another kind: left alone.
        let Ok(Some(socket)) = sockets.take_unix_listener(index) else {
            continue;
        };
        if sockopt::socket_acceptconn(&socket)? {
            return Ok(socket);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "$LISTEN_FDS passes {} socket(s), and none of them is a listening Unix socket named {}",
            sockets.len(),
            NAMES.join(" or ")
        ),
    ))
}

/// Whether the socket with this number may be ours: it has one of our names, or none.
fn is_ours(names: &str, index: usize) -> bool {
    match names.split(':').nth(index) {
        None | Some("" | "unknown") => true,
        Some(name) => NAMES.contains(&name),
    }
}

/// The listening Unix socket behind a descriptor, if it is one.
fn listening(input: impl AsFd) -> Option<UnixListener> {
    let input = input.as_fd();
    let is_unix = sockopt::socket_domain(input) == Ok(AddressFamily::UNIX);
    if is_unix && sockopt::socket_acceptconn(input) == Ok(true) {
        input.try_clone_to_owned().ok().map(UnixListener::from)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_of_another_name_is_not_ours() {
        for (names, index) in [("", 0), ("broker", 0), ("x:keywardd.socket", 1), ("x", 1)] {
            assert!(is_ours(names, index), "{names} {index}");
        }
        for (names, index) in [("metrics", 0), ("broker:metrics", 1)] {
            assert!(!is_ours(names, index), "{names} {index}");
        }
    }

    #[test]
    fn a_listening_socket_that_was_passed_is_used_and_anything_else_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let bound = UnixListener::bind(&path).unwrap();
        let passed_on = listening(&bound).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        passed_on.accept().unwrap();

        let (stream, _other) = UnixStream::pair().unwrap();
        assert!(listening(stream).is_none());
        assert!(listening(File::open(dir.path()).unwrap()).is_none());
    }
}
