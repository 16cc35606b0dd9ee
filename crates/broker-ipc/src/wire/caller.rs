//! `on_behalf_of`: whose request a forwarding process passes on.

use std::sync::Arc;

use crate::program::{Encoded, Program};
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
            .owned_text("bus_name", unique_name.clone())
            .owned_text("program", caller.program.encoded().to_owned());
        entries.dict(KEY, inner);
    }
}

/// The caller on a bus behind `peer`, if the request names one.
pub(crate) fn read(
    dict: &Dict<'_>,
    peer: &Caller,
    programs: &Encoded,
) -> Result<Option<Caller>, WireError> {
    let Some(inner) = dict.dict(KEY)? else {
        return Ok(None);
    };
    let uid = inner.number("uid")?.ok_or(WireError::Missing("uid"))?;
    let pid = inner.number("pid")?.and_then(|pid| u32::try_from(pid).ok());
    let program = programs.program(inner.text("program")?);
    behind(peer, uid, pid, inner.require_text("bus_name")?, program).map(Some)
}

/// The caller with this name on a bus, for whom `peer` speaks: all of it is the peer's word. It is of the peer's own user:
/// nobody can speak for another user.
pub(super) fn behind(
    peer: &Caller,
    uid: u64,
    pid: Option<u32>,
    unique_name: &str,
    program: Arc<Program>,
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
        program,
        forwarder: Some(Arc::clone(&peer.program)),
    })
}
