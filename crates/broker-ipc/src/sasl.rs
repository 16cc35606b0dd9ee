//! The authentication that opens every D-Bus connection (D-Bus Specification, "Authentication
//! Protocol"), both sides, mechanism EXTERNAL only.
//!
//! Ours, because it is the first code that reads what a stranger sends: it takes at most
//! [`LONGEST_LINE`] bytes per line and [`MOST_LINES`] lines, whatever the peer does.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const LONGEST_LINE: usize = 1024;
const MOST_LINES: usize = 16;

/// Authenticates to a server as `uid`. Gives back what the server sent beyond the handshake.
///
/// # Errors
///
/// When the connection breaks or the server does not accept EXTERNAL.
pub(crate) async fn authenticate<S>(stream: &mut S, uid: u32) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut lines = Lines::default();
    let auth = format!("\0AUTH EXTERNAL {}\r\n", hex(&uid.to_string()));
    stream.write_all(auth.as_bytes()).await?;
    let answer = lines.next(stream).await?;
    if !answer.starts_with("OK ") {
        return Err(refused("the server does not accept this user"));
    }
    stream.write_all(b"BEGIN\r\n").await?;
    Ok(lines.rest())
}

/// Lets a client authenticate, which has to be `uid` (as the kernel says). Gives back what the
/// client sent beyond the handshake.
///
/// # Errors
///
/// When the client breaks the protocol, gives up, or claims to be somebody else.
pub(crate) async fn accept<S>(stream: &mut S, uid: u32, guid: &str) -> io::Result<Vec<u8>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut lines = Lines::default();
    let expected = hex(&uid.to_string());
    if lines.byte(stream).await? != 0 {
        return Err(refused("the first byte is not NUL"));
    }
    let mut authenticated = false;
    for _ in 0..MOST_LINES {
        let line = lines.next(stream).await?;
        let mut words = line.split(' ');
        let answer = match (words.next().unwrap_or_default(), words.next(), words.next()) {
            ("AUTH", Some("EXTERNAL"), None) => "DATA\r\n".to_owned(),
            ("AUTH", Some("EXTERNAL"), Some(id)) | ("DATA", Some(id), None) if id == expected => {
                authenticated = true;
                format!("OK {guid}\r\n")
            }
            // An empty DATA: whoever the kernel says.
            ("DATA", None | Some(""), None) => {
                authenticated = true;
                format!("OK {guid}\r\n")
            }
            ("BEGIN", None, None) if authenticated => return Ok(lines.rest()),
            ("AUTH" | "DATA" | "CANCEL" | "ERROR", _, _) => {
                authenticated = false;
                "REJECTED EXTERNAL\r\n".to_owned()
            }
            ("NEGOTIATE_UNIX_FD", None, None) if authenticated => {
                "ERROR file descriptors are not passed here\r\n".to_owned()
            }
            _ => "ERROR unknown command\r\n".to_owned(),
        };
        stream.write_all(answer.as_bytes()).await?;
    }
    Err(refused("the handshake has too many lines"))
}

/// Reads lines without ever holding more than one and what came with it.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    async fn byte<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<u8> {
        if self.0.is_empty() {
            self.fill(stream).await?;
        }
        Ok(self.0.remove(0))
    }

    async fn next<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<String> {
        loop {
            if let Some(end) = self.0.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.0.drain(..end + 2).take(end).collect();
                return String::from_utf8(line).map_err(|_| refused("a line is not ASCII"));
            }
            if self.0.len() > LONGEST_LINE {
                return Err(refused("a line is too long"));
            }
            self.fill(stream).await?;
        }
    }

    async fn fill<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        let mut chunk = [0; LONGEST_LINE];
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.extend_from_slice(&chunk[..length]);
        Ok(())
    }

    fn rest(self) -> Vec<u8> {
        self.0
    }
}

fn hex(text: &str) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
    text.bytes()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
        .collect()
}

fn refused(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("D-Bus authentication failed: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    const GUID: &str = "0123456789abcdef0123456789abcdef";

    /// What a server answers to `input`, and how it ends.
    async fn serve(input: &[u8]) -> (String, io::Result<Vec<u8>>) {
        let (mut client, mut server) = duplex(1 << 20);
        client.write_all(input).await.unwrap();
        client.shutdown().await.unwrap();
        let outcome = accept(&mut server, 1000, GUID).await;
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        (answer, outcome)
    }

    #[tokio::test]
    async fn both_sides_agree_and_keep_what_follows() {
        let (mut client, mut server) = duplex(4096);
        let accepting = tokio::spawn(async move {
            let rest = accept(&mut server, 1000, GUID).await;
            (rest, server)
        });
        let rest = authenticate(&mut client, 1000).await.unwrap();
        assert!(rest.is_empty());
        assert!(accepting.await.unwrap().0.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_pipelined_handshake_keeps_the_first_message() {
        let (answer, outcome) =
            serve(b"\0AUTH EXTERNAL 31303030\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\nl\x01\n\n").await;
        assert_eq!(outcome.unwrap(), b"l\x01\n\n");
        assert!(
            answer.starts_with(&format!("OK {GUID}\r\nERROR ")),
            "{answer}"
        );
    }

    #[tokio::test]
    async fn a_client_without_a_name_is_who_the_kernel_says() {
        let (answer, outcome) = serve(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n").await;
        assert!(outcome.is_ok());
        assert_eq!(answer, format!("DATA\r\nOK {GUID}\r\n"));
    }

    #[tokio::test]
    async fn everybody_else_is_refused() {
        for input in [
            &b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n"[..],
            b"\0AUTH ANONYMOUS\r\nBEGIN\r\n",
            b"\0BEGIN\r\n",
            b"\0AUTH EXTERNAL 31303030\r\nCANCEL\r\nBEGIN\r\n",
            b"AUTH EXTERNAL 31303030\r\nBEGIN\r\n",
            b"\0\n\n\n\r\n",
            b"\0\xff\xff\r\n",
            b"",
        ] {
            assert!(serve(input).await.1.is_err(), "{input:?}");
        }
    }

    #[tokio::test]
    async fn endless_handshakes_end() {
        assert!(serve(&b"A".repeat(100_000)).await.1.is_err());
        let mut long_line = vec![0];
        long_line.extend_from_slice(&b"A".repeat(100_000));
        assert!(serve(&long_line).await.1.is_err());
        let mut many_lines = vec![0];
        many_lines.extend_from_slice(&b"HELLO\r\n".repeat(10_000));
        assert!(serve(&many_lines).await.1.is_err());
    }
}
