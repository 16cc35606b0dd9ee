//! Keys as the TPM itself describes them, asked by a program that is not ours.

use keyward_keystore::{KeyKind, KeyStore as _, Pin};
use tss_esapi::attributes::ObjectAttributes;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Private, Public};
use tss_esapi::traits::UnMarshall as _;
use zeroize::Zeroizing;

use crate::World;
use crate::bare::{Restricted, context, handles, primary};

#[test]
fn every_key_is_fixed_to_its_tpm() {
    let world = World::new();
    for kind in KeyKind::ALL {
        let attributes = attributes_of(&world, kind, None);
        assert!(attributes.fixed_tpm(), "{kind:?}");
        assert!(attributes.fixed_parent(), "{kind:?}");
        assert!(!attributes.restricted(), "{kind:?}");
        assert!(attributes.no_da(), "{kind:?}");
        let made_there = kind != KeyKind::Mac;
        assert_eq!(attributes.sensitive_data_origin(), made_there, "{kind:?}");
        let signs = matches!(kind, KeyKind::Sign | KeyKind::Mac);
        assert_eq!(attributes.sign_encrypt(), signs, "{kind:?}");
        assert_eq!(attributes.decrypt(), !signs, "{kind:?}");
    }
    let pin = Pin::new("1234").unwrap();
    assert!(!attributes_of(&world, KeyKind::Sign, Some(&pin)).no_da());
}

#[test]
fn nothing_of_ours_stays_in_the_tpm() {
    let world = World::new();
    let id = world.store.create(KeyKind::Sign, None).unwrap();
    assert!(world.store.open(&id).unwrap().sign(b"message").is_ok());
    for first in [0x8100_0000, 0x0180_0000] {
        assert_eq!(handles(&world.tpm, first), [0; 0]);
    }
}

/// Makes a key, and has the TPM say what it is.
fn attributes_of(world: &World, kind: KeyKind, pin: Option<&Pin>) -> ObjectAttributes {
    let id = match kind {
        KeyKind::Mac => world.store.import_mac(Zeroizing::new(vec![0x42; 32])),
        other => world.store.create(other, pin),
    };
    let file = std::fs::read(world.file(&id.unwrap())).unwrap();
    // Magic, purpose, flags and template; then three parts, each after its length.
    let (_name, rest) = part(&file[11..]);
    let (public, rest) = part(rest);
    let (private, _check) = part(rest);
    let public = Public::unmarshall(public).unwrap();
    let private = Private::try_from(private).unwrap();

    let mut context = context(&world.tpm);
    let parent = primary(&mut context, Restricted::Yes);
    context.set_sessions((Some(AuthSession::Password), None, None));
    let key = context.load(parent, private, public).unwrap();
    context.clear_sessions();
    let (public, _, _) = context.read_public(key).unwrap();
    public.object_attributes()
}

fn part(octets: &[u8]) -> (&[u8], &[u8]) {
    let length = usize::from(u16::from_be_bytes([octets[0], octets[1]]));
    octets[2..].split_at(length)
}
