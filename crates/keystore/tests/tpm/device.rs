//! What a TPM says about itself.

use keyward_keystore::KeyStore as _;
use keyward_keystore::tpm::{self, Probe};

use crate::World;

#[test]
fn a_software_tpm_is_told_to_be_one() {
    let world = World::new();
    let device = world.store.device().unwrap();
    assert_eq!(device.maker.as_deref(), Some("IBM"));
    assert_eq!(device.model.as_deref(), Some("SW   TPM"));
    assert!(device.simulator);
    assert!(device.firmware.is_some());
    assert_eq!(
        tpm::probe(Some(&world.tpm.tcti())),
        Probe::Reachable(device)
    );
}
