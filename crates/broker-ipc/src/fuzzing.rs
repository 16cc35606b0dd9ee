//! Doors for coverage-guided fuzzing (`fuzz/`), there with `--cfg fuzzing` alone: what a stranger's
//! bytes reach before anything is known about him.

use std::io::Cursor;

use keyward_client::oauth::identifiers::CorrelationId;
use zbus::connection::socket::ReadHalf as _;

use crate::broker1::{self, Envelope};
use crate::dispatch::Call;
use crate::guard::GuardedRead;
use crate::microsoft;
use crate::program::Encoded;
use crate::service::{Caller, Via};

/// The most a message may hold here before it is refused as too large.
const ROOM: usize = 4096;

/// Messages on the socket, as the broker's end reads them: framing, limits, and every request of the
/// typed interface.
pub fn typed(bytes: &[u8]) {
    let mut guard = GuardedRead::new(Cursor::new(bytes.to_vec()), Vec::new(), ROOM);
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else {
        return;
    };
    runtime.block_on(async {
        for number in 0..4 {
            let mut fds = (Vec::new(), Vec::new());
            let received = guard.receive_message(number, &mut fds.0, &mut fds.1).await;
            let Ok(message) = received else {
                return;
            };
            let call = Call::new(message);
            if let Some(method) = broker1::Method::of(&call) {
                open(method, &call);
            }
        }
    });
}

/// Who sent it, whose request it is, and what the request is: nothing of it may panic.
fn open(method: broker1::Method, call: &Call) {
    let peer = Caller::new(1000, None, Via::Socket);
    if let Ok(envelope) = Envelope::open(method, call, &peer, &Encoded::default())
        && let Some(caller) = envelope.on_behalf_of
    {
        assert_eq!(caller.uid, peer.uid, "a caller speaks for another user");
    }
}

/// The JSON of every request Microsoft's clients make.
pub fn microsoft(json: &str) {
    microsoft::read_any(json, CorrelationId::from_random([7; 16]));
}
