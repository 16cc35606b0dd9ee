//! The JSON of requests on `com.microsoft.identity.Broker1`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| keyward_broker_ipc::fuzzing::microsoft(json));
