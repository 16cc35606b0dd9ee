//! Messages on the broker's socket: framing, limits, callers, every request of `dev.keyward.Broker1`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| keyward_broker_ipc::fuzzing::typed(bytes));
