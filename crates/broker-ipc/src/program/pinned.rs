//! A process that cannot turn into another one while it is looked at.

use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process with its pidfd: its number is its own for as long as it [lives](Self::is_alive).
#[derive(Debug)]
pub struct Pinned {
    pub(super) pid: u32,
    pub(super) uid: u32,
    pidfd: Option<OwnedFd>,
}

impl Pinned {
    /// The process `pid` of user `uid`. Whoever names it by number has to make sure afterwards
    /// that it is still the one that was meant.
    pub fn process(pid: u32, uid: u32) -> Self {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        Self {
            pid,
            uid,
            pidfd: number.and_then(|number| pidfd_open(number, PidfdFlags::empty()).ok()),
        }
    }

    /// The process at the other end of a socket, as the kernel named it when it connected. Where
    /// the kernel has no `SO_PEERPIDFD` (before Linux 6.5), a process that took over the number
    /// since then is told by its user only.
    pub fn peer(socket: &impl AsFd, pid: u32, uid: u32) -> Self {
        match getsockopt(socket, sockopt::PeerPidfd) {
            Ok(pidfd) => Self {
                pid,
                uid,
                pidfd: Some(pidfd),
            },
            Err(nix::Error::ENOPROTOOPT) => Self::process(pid, uid),
            Err(_) => Self {
                pid,
                uid,
                pidfd: None,
            },
        }
    }

    /// Whether the process has not ended: then everything that was read under its number is about
    /// it.
    pub fn is_alive(&self) -> bool {
        let Some(pidfd) = &self.pidfd else {
            return false;
        };
        let mut ended = [PollFd::new(pidfd, PollFlags::IN)];
        matches!(poll(&mut ended, Some(&Timespec::default())), Ok(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio, id};

    #[test]
    fn the_other_end_of_a_socket_is_pinned() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let uid = rustix::process::getuid().as_raw();
        assert!(Pinned::peer(&ours, id(), uid).is_alive());
    }

    #[test]
    fn a_process_that_ended_is_not_alive_whoever_has_its_number_now() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pinned = Pinned::process(child.id(), 0);
        assert!(pinned.is_alive());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!pinned.is_alive());
        assert!(!Pinned::process(child.id(), 0).is_alive());
        assert!(!Pinned::process(0, 0).is_alive());
    }
}
