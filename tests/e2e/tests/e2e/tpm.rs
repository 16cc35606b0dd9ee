//! Keys in a TPM: what a thief has who took everything else.

use keyward_e2e::{Stack, Tenant};
use keyward_testkit::root;

use crate::memory::Dump;
use crate::theft;

#[test]
fn a_refresh_token_lifted_from_memory_is_refused_and_its_family_lives_on() {
    theft::steal_from_our_authority(|| Stack::with_tpm(Tenant::Oidc));
}

#[test]
fn a_foreign_provider_refuses_a_refresh_token_lifted_from_memory_and_the_grant_lives_on() {
    theft::steal_from_provider(|| {
        let mut stack = Stack::without_broker(Tenant::Oidc);
        stack.keep_keys_in_tpm();
        stack
    });
}

#[test]
fn root_finds_no_private_key_in_a_broker_that_keeps_them_in_a_tpm() {
    if root::tests("that no private key is in the memory of a broker with a TPM") {
        let dump = Dump::after_a_renewal(&Stack::with_tpm(Tenant::Oidc), "tpm");
        for searched in &dump.keys {
            assert!(searched.tried > 10_000, "{searched:?}");
            assert_eq!(searched.found, []);
        }
        assert_eq!(dump.wrapping_key, None, "nothing is sealed by software");
    }
}
