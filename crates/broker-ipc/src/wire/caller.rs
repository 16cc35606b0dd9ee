//! `on_behalf_of`: whose request a forwarding process passes on.

use crate::service::{Caller, Via};

use super::WireError;
use super::dict::{Dict, Entries};

const KEY: &str = "on_behalf_of";

/// Names the caller on a bus this request is passed on for. A caller on the socket needs no name:
/// the kernel vouches for it.
pub(crate) fn write(caller: &Caller, entries: &mut Entries<'_>) {
    if let Via::Bus { unique_name } = &caller.via {
        let mut inner = Entries::new();
        inner
            .number("uid", u64::from(caller.uid))
            .maybe_number("pid", caller.pid.map(u64::from))
            .owned_text("bus_name", unique_name.clone());
        entries.dict(KEY, inner);
    }
}

/// The caller on a bus behind `peer`, if the request names one.
pub(crate) fn read(dict: &Dict<'_>, peer: &Caller) -> Result<Option<Caller>, WireError> {
    let Some(inner) = dict.dict(KEY)? else {
        return Ok(None);
    };
    let uid = inner.number("uid")?.ok_or(WireError::Missing("uid"))?;
    let pid = inner.number("pid")?.and_then(|pid| u32::try_from(pid).ok());
    behind(peer, uid, pid, inner.require_text("bus_name")?).map(Some)
}

/// The caller with this name on a bus, for whom `peer` speaks. It is of the peer's own user:
/// nobody can speak for another user.
pub(super) fn behind(
    peer: &Caller,
    uid: u64,
    pid: Option<u32>,
    unique_name: &str,
) -> Result<Caller, WireError> {
    if uid != u64::from(peer.uid) {
        return Err(WireError::value(KEY, "names another user"));
    }
    if unique_name.len() > 255 {
        return Err(WireError::value(KEY, "is no bus name"));
    }
    Ok(Caller {
        uid: peer.uid,
        pid,
        via: Via::Bus {
            unique_name: unique_name.to_owned(),
        },
    })
}
