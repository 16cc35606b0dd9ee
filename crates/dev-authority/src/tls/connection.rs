//! Connections, plain and TLS on the same port: the first octet tells them apart.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::origin::Scheme;

/// What the first octet of a TLS connection is: the record type `handshake` (RFC 8446 §5.1). No
/// HTTP method starts with it.
const HANDSHAKE: u8 = 22;

/// A listener that hands out connections when it is known what they speak.
pub(crate) struct Connections {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    /// Nobody waits for those who connect and say nothing.
    opening: JoinSet<io::Result<(Connection, SocketAddr)>>,
}

impl Connections {
    /// Those that come to this listener.
    pub(crate) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self {
            listener,
            acceptor,
            opening: JoinSet::new(),
        }
    }
}

impl Listener for Connections {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            tokio::select! {
                (stream, peer) = Listener::accept(&mut self.listener) => {
                    let acceptor = self.acceptor.clone();
                    self.opening.spawn(async move { Ok((open(stream, acceptor).await?, peer)) });
                }
                Some(opened) = self.opening.join_next() => match opened {
                    Ok(Ok(connection)) => return connection,
                    Ok(Err(error)) => tracing::debug!(%error, "a connection came to nothing"),
                    Err(error) => tracing::warn!(%error, "a connection was lost"),
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Finds out what a connection speaks, and shakes hands if it is TLS.
async fn open(stream: TcpStream, acceptor: TlsAcceptor) -> io::Result<Connection> {
    let mut first = [0];
    match (stream.peek(&mut first).await?, first) {
        (0, _) => Err(ErrorKind::UnexpectedEof.into()),
        (_, [HANDSHAKE]) => {
            let stream = acceptor.accept(stream).await?;
            Ok(Connection::Tls(Box::new(stream)))
        }
        _ => Ok(Connection::Plain(stream)),
    }
}

/// A connection.
pub(crate) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected<IncomingStream<'_, Connections>> for Scheme {
    fn connect_info(stream: IncomingStream<'_, Connections>) -> Self {
        match stream.io() {
            Connection::Plain(_) => Self::Http,
            Connection::Tls(_) => Self::Https,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, octets),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
