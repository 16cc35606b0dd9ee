//! What the connections of one user share with each other, and with nobody else's.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::agent::Agents;
use crate::in_flight::Limits;

/// The shares of all users who are connected.
#[derive(Debug)]
pub(crate) struct Shares {
    limits: Limits,
    of: Mutex<HashMap<u32, Weak<Share>>>,
}

/// One user's share.
#[derive(Debug, Default)]
struct Share {
    /// Requests in flight on all connections.
    total: Arc<AtomicUsize>,
    connections: AtomicUsize,
    /// Who shows sign-ins: only ever this user's own.
    agents: Arc<Agents>,
}

/// One connection's place among those of its user. Given up when dropped.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Share>);

impl Shares {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            of: Mutex::default(),
        }
    }

    /// A place for one more connection of this user.
    ///
    /// # Errors
    ///
    /// When the user has too many.
    pub(crate) fn seat(&self, uid: u32) -> io::Result<Seat> {
        let mut shares = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shares.get(&uid).and_then(Weak::upgrade);
        let share = known.unwrap_or_else(|| {
            // A user who is gone leaves nothing behind.
            shares.retain(|_, share| share.strong_count() > 0);
            let share = Arc::new(Share::default());
            shares.insert(uid, Arc::downgrade(&share));
            share
        });
        drop(shares);
        if share.connections.fetch_add(1, Ordering::Relaxed) >= self.limits.connections {
            share.connections.fetch_sub(1, Ordering::Relaxed);
            return Err(io::Error::other(format!(
                "uid {uid} has too many connections open"
            )));
        }
        Ok(Seat(share))
    }
}

impl Seat {
    /// The requests in flight of this user.
    pub(crate) fn total(&self) -> &Arc<AtomicUsize> {
        &self.0.total
    }

    /// The user agents of this user.
    pub(crate) fn agents(&self) -> &Arc<Agents> {
        &self.0.agents
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares() -> Shares {
        Shares::new(Limits {
            connections: 2,
            ..Limits::default()
        })
    }

    #[test]
    fn connections_of_one_user_share_and_those_of_two_do_not() {
        let shares = shares();
        let (one, again, other) = (shares.seat(1), shares.seat(1), shares.seat(2));
        let (one, again, other) = (one.unwrap(), again.unwrap(), other.unwrap());
        assert!(Arc::ptr_eq(one.total(), again.total()));
        assert!(Arc::ptr_eq(one.agents(), again.agents()));
        assert!(!Arc::ptr_eq(one.total(), other.total()));
        assert!(!Arc::ptr_eq(one.agents(), other.agents()));
    }

    #[test]
    fn one_user_cannot_take_the_connections_of_another() {
        let shares = shares();
        let taken = [shares.seat(1).unwrap(), shares.seat(1).unwrap()];
        let refused = shares.seat(1).unwrap_err();
        assert!(refused.to_string().contains("uid 1"), "{refused}");
        shares.seat(2).unwrap();
        drop(taken);
        shares.seat(1).unwrap();
    }

    #[test]
    fn a_user_who_is_gone_leaves_nothing_behind() {
        let shares = shares();
        drop(shares.seat(1).unwrap());
        let _other = shares.seat(2).unwrap();
        assert_eq!(shares.of.lock().unwrap().len(), 1);
    }
}
