//! Connections: a Unix socket, authenticated, guarded, and handed to zbus for its messages.
//!
//! zbus is used as a transport of messages only. The handshake, the limit on sizes, the answering
//! of calls and everything about a bus are ours, because all of them are about what a stranger
//! may do to us.

use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;
use zbus::{Guid, MessageStream};

use crate::guard::Guarded;
use crate::sasl;

/// How many received messages may wait for us. At most this many payloads of 1 MiB are held for
/// one connection before nothing more is read from it.
const QUEUE: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// How much is read at once of what callers send. There may be many of them, and most requests are
/// much smaller.
const OF_CALLERS: usize = 2048;
/// How much is read at once of our own connections: answers with tokens, or what a bus brings from
/// everybody on it.
const OF_US: usize = 8192;

/// The file that is locked as long as a broker is behind its socket. A service manager may listen on
/// the socket at all times, so being able to connect does not say as much.
pub fn lock_of(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// Lets the process at the other end in, which is of user `uid`.
pub(crate) async fn accept(mut stream: UnixStream, uid: u32) -> io::Result<MessageStream> {
    let guid = Guid::generate();
    let received = sasl::accept(&mut stream, uid, guid.as_str()).await?;
    messages(Guarded::new(stream, received, OF_CALLERS), guid).await
}

/// Joins the server at the other end, as user `uid`.
pub(crate) async fn join(mut stream: UnixStream, uid: u32) -> io::Result<MessageStream> {
    let received = sasl::authenticate(&mut stream, uid).await?;
    messages(Guarded::new(stream, received, OF_US), Guid::generate()).await
}

async fn messages(socket: Guarded, guid: Guid<'static>) -> io::Result<MessageStream> {
    // "p2p" even on a bus: its first call, `Hello`, is made by `bus`.
    zbus::connection::Builder::authenticated_socket(socket, guid)
        .p2p()
        .max_queued(QUEUE)
        .build_message_stream()
        .await
        .map_err(io::Error::other)
}
