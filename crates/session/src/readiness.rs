//! Waiting for a child that says when it serves (`sd_notify(3)`, the waiting end).

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::path::PathBuf;

use tokio::net::UnixDatagram;

/// A socket on which a child says that it serves. The file is removed when this is dropped.
#[derive(Debug)]
pub struct Readiness {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Readiness {
    /// Listens at this path, in a folder only this user may write.
    ///
    /// # Errors
    ///
    /// When it cannot listen there.
    pub fn bind(path: PathBuf) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = StdUnixDatagram::bind(&path)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            path,
            socket: UnixDatagram::from_std(socket)?,
        })
    }

    /// The child's environment variable.
    pub fn variable(&self) -> (&'static str, OsString) {
        ("NOTIFY_SOCKET", self.path.clone().into())
    }

    /// Waits for `READY=1`.
    ///
    /// # Errors
    ///
    /// When the socket fails.
    pub async fn wait(&self) -> io::Result<()> {
        let mut buffer = [0; 256];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            if buffer[..length]
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"READY=1")
            {
                return Ok(());
            }
        }
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_word_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ready");
        let readiness = Readiness::bind(path.clone()).unwrap();
        let child = StdUnixDatagram::unbound().unwrap();
        child.send_to(b"STATUS=reading the vault", &path).unwrap();
        child.send_to(b"STATUS=serving\nREADY=1\n", &path).unwrap();
        readiness.wait().await.unwrap();
        drop(readiness);
        assert!(!path.exists());
    }
}
