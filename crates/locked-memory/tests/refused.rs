//! A kernel that locks nothing for us. In a process of its own, because the limit is the process's.

#![allow(clippy::unwrap_used)]

use keyward_locked_memory::{Locked, refused};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

#[test]
fn a_key_that_cannot_be_locked_is_kept_all_the_same_and_it_is_said() {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Memlock, nothing).unwrap();
    // Root is not bound by the limit, unless it gives that up.
    let mut own = capabilities(None).unwrap();
    own.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, own).unwrap();

    assert_eq!(refused(), None);
    let key = Locked::copy_of(&[7; 32]);
    assert!(!key.is_locked());
    assert_eq!(*key, [7; 32]);
    assert!(refused().is_some());
}
