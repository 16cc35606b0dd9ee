//! A socket whose messages are small.
//!
//! D-Bus allows messages of 128 MiB, and a receiver that believes the length in a header holds
//! that much memory before it knows who asks for what. Here a message whose payload is over
//! [`MAX_PAYLOAD`] is replaced, as it arrives, by the same message with the text [`MARKER`] as its
//! only argument; the payload itself is read and dropped in small pieces. So the receiver can
//! still answer the call, with an error, and the connection goes on. That matters on a bus, where
//! all callers share one connection.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

use crate::names::MAX_PAYLOAD;

mod header;

/// Stands for a payload that was too large.
pub(crate) const MARKER: &str = "dev.keyward.TooLarge";

/// The primary header and the length of the header fields (D-Bus Specification, "Message Format").
const START: usize = 16;
/// A message may be this much larger than its payload's limit: the other arguments of the call.
const SLACK: usize = 4096;
/// The longest header fields of a message that is replaced. An object path may be of any length,
/// but none we serve is.
const MAX_FIELDS: usize = 64 * 1024;
/// The longest message D-Bus allows.
const MAX_MESSAGE: usize = 128 * 1024 * 1024;
/// How long a peer may leave its answers unread before it is given up.
const STALLED: Duration = Duration::from_secs(30);

/// A connected and authenticated Unix socket, for zbus.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: UnixStream,
    received: Vec<u8>,
    room: usize,
}

impl Guarded {
    /// `received`: what was read from the stream already, after the handshake. `room`: how much is
    /// read at once.
    pub(crate) fn new(stream: UnixStream, received: Vec<u8>, room: usize) -> Self {
        Self {
            stream,
            received,
            room,
        }
    }
}

impl Socket for Guarded {
    type ReadHalf = GuardedRead<OwnedReadHalf>;
    type WriteHalf = GuardedWrite;

    fn split(self) -> Split<Self::ReadHalf, Self::WriteHalf> {
        let (read, write) = self.stream.into_split();
        let read = GuardedRead::new(read, self.received, self.room);
        Split::new(read, GuardedWrite(write))
    }
}

/// The half that reads. Hands zbus whole messages, piece by piece as it asks for them.
#[derive(Debug)]
pub(crate) struct GuardedRead<R> {
    stream: R,
    /// What was read from the stream and not looked at yet: the bytes from `consumed` to `filled`.
    input: Vec<u8>,
    consumed: usize,
    filled: usize,
    /// How much is read at once.
    room: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// At the start of a message.
    Start,
    /// Bytes of ours for the reader, then on to the next state.
    Replay {
        bytes: Vec<u8>,
        given: usize,
        then: Then,
    },
    /// This many bytes of the message go to the reader as they are.
    Pass(usize),
    /// This many bytes of the message are dropped.
    Drop(usize),
}

#[derive(Clone, Copy, Debug)]
enum Then {
    Pass(usize),
    Drop(usize),
}

impl From<Then> for State {
    fn from(then: Then) -> Self {
        match then {
            Then::Pass(0) | Then::Drop(0) => Self::Start,
            Then::Pass(left) => Self::Pass(left),
            Then::Drop(left) => Self::Drop(left),
        }
    }
}

impl<R: AsyncRead + Unpin> GuardedRead<R> {
    pub(crate) fn new(stream: R, received: Vec<u8>, room: usize) -> Self {
        Self {
            stream,
            consumed: 0,
            filled: received.len(),
            input: received,
            room,
            state: State::Start,
        }
    }

    /// The next bytes for the reader; 0 at the end of the stream.
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.state {
                State::Start => match self.start().await? {
                    Some(state) => self.state = state,
                    None => return Ok(0),
                },
                State::Replay { bytes, given, then } => {
                    let piece = buffer.len().min(bytes.len() - *given);
                    buffer[..piece].copy_from_slice(&bytes[*given..*given + piece]);
                    *given += piece;
                    if *given == bytes.len() {
                        self.state = (*then).into();
                    }
                    return Ok(piece);
                }
                State::Pass(left) => {
                    let left = *left;
                    let wanted = buffer.len().min(left);
                    let piece = self.copy(&mut buffer[..wanted]).await?;
                    self.state = Then::Pass(left - piece).into();
                    return Ok(piece);
                }
                State::Drop(left) => {
                    let left = *left;
                    if self.unread().is_empty() && !self.fill().await? {
                        return Ok(0);
                    }
                    let piece = left.min(self.unread().len());
                    self.consumed += piece;
                    self.state = Then::Drop(left - piece).into();
                }
            }
        }
    }

    /// Looks at the start of a message and decides what becomes of it. `None`: no more messages.
    async fn start(&mut self) -> io::Result<Option<State>> {
        if !self.gather(START).await? {
            return Ok(None);
        }
        let start = header::Start::parse(self.unread())?;
        if start.total() > MAX_MESSAGE {
            return Err(header::broken("the message is longer than D-Bus allows"));
        }
        if !start.known_type || start.fields > MAX_FIELDS {
            // To be ignored; or nothing we serve is called like that, and there is no answering it.
            tracing::debug!(bytes = start.total(), "dropped a message");
            return Ok(Some(State::Drop(start.total())));
        }
        let head = start.head();
        if !self.gather(head).await? {
            return Ok(None);
        }
        let (bytes, then) = if start.body <= MAX_PAYLOAD + SLACK {
            if start.is_known(&self.unread()[..head]) {
                return Ok(Some(State::Pass(start.total())));
            }
            (start.known(&self.unread()[..head])?, Then::Pass(start.body))
        } else {
            tracing::debug!(bytes = start.body, "refused a message over 1 MiB");
            let replaced = start.replace(&self.unread()[..head], MARKER)?;
            (replaced, Then::Drop(start.body))
        };
        let Some(bytes) = bytes else {
            tracing::debug!(
                bytes = start.total(),
                "dropped a message with an unreadable header"
            );
            return Ok(Some(State::Drop(start.total())));
        };
        self.consumed += head;
        Ok(Some(State::Replay {
            bytes,
            given: 0,
            then,
        }))
    }

    /// Copies what is there already, or reads once.
    async fn copy(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.unread().is_empty() {
            if buffer.len() >= self.room {
                return self.stream.read(buffer).await;
            }
            if !self.fill().await? {
                return Ok(0);
            }
        }
        let piece = buffer.len().min(self.unread().len());
        buffer[..piece].copy_from_slice(&self.unread()[..piece]);
        self.consumed += piece;
        Ok(piece)
    }

    /// Makes sure that `length` bytes are there. `false` at the end of the stream.
    async fn gather(&mut self, length: usize) -> io::Result<bool> {
        while self.unread().len() < length {
            if !self.fill().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads once. `false` at the end of the stream.
    async fn fill(&mut self) -> io::Result<bool> {
        self.input.copy_within(self.consumed..self.filled, 0);
        self.filled -= self.consumed;
        self.consumed = 0;
        if self.input.len() < self.filled + self.room / 2 {
            self.input.resize(self.filled + self.room, 0);
        }
        let read = self.stream.read(&mut self.input[self.filled..]).await?;
        self.filled += read;
        Ok(read > 0)
    }

    fn unread(&self) -> &[u8] {
        &self.input[self.consumed..self.filled]
    }
}

#[async_trait]
impl<R> ReadHalf for GuardedRead<R>
where
    R: AsyncRead + std::fmt::Debug + Send + Sync + Unpin + 'static,
{
    async fn recvmsg(
        &mut self,
        buffer: &mut [u8],
    ) -> io::Result<(usize, Vec<std::os::fd::OwnedFd>)> {
        // Plain reads: file descriptors that come along are closed by the kernel.
        Ok((self.read(buffer).await?, Vec::new()))
    }
}

/// The half that writes. A peer that does not read is given up, so that it cannot hold answers
/// and the requests behind them for ever.
#[derive(Debug)]
pub(crate) struct GuardedWrite(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for GuardedWrite {
    async fn sendmsg(
        &mut self,
        buffer: &[u8],
        _fds: &[std::os::fd::BorrowedFd<'_>],
    ) -> io::Result<usize> {
        match self.0.try_write(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::timeout(STALLED, self.0.write(buffer))
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            }
            written => written,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

#[cfg(test)]
mod tests;
