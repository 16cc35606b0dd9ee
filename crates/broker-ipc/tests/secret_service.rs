//! Secrets in a real keyring.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use keyward_broker_ipc::address::BusAddress;
use keyward_broker_ipc::secret_service::{SecretService, SecretStore};
use keyward_testkit::{Keyring, Login, SessionBus};

#[tokio::test]
async fn a_secret_is_kept_under_its_name_and_replaced() {
    let login = Login::new();
    let bus = SessionBus::start(&login, &[]);
    let keyring = tokio::task::spawn_blocking(move || {
        let keyring = Keyring::start(&login, &bus);
        (login, bus, keyring)
    });
    let (_login, bus, _keyring) = keyring.await.unwrap();
    let secrets = SecretService::new(BusAddress::parse(bus.address(), None).unwrap());

    assert_eq!(secrets.read("one").await.unwrap(), None);
    secrets.write("one", b"first").await.unwrap();
    secrets.write("two", b"other").await.unwrap();
    secrets.write("one", &[0, 255, 7]).await.unwrap();
    let read = secrets.read("one").await.unwrap().unwrap();
    assert_eq!(*read, [0, 255, 7]);
    let read = secrets.read("two").await.unwrap().unwrap();
    assert_eq!(*read, *b"other");
}

#[tokio::test]
async fn without_a_keyring_the_error_says_so() {
    let login = Login::new();
    let bus = SessionBus::start(&login, &[]);
    let secrets = SecretService::new(BusAddress::parse(bus.address(), None).unwrap());
    let error = secrets.read("one").await.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the Secret Service cannot be used"),
        "{error}"
    );
    drop(bus);
    let error = secrets.write("one", b"x").await.unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
}
