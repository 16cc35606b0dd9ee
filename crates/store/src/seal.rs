//! How a record is sealed.
//!
//! ```text
//! name   = HMAC-SHA256(name key, key)            key = kind, account, client, detail,
//! sealed = version || nonce || ciphertext || tag       each with its length in front
//! plaintext       = key || value
//! associated data = version || vault id || name
//!
//! sealed epoch    = nonce || ciphertext || tag
//! plaintext       = nothing, or the epoch (8 octets) || the counter's name
//! associated data = vault id || number of the data key
//! ```
//!
//! The row shows no user name: only a keyed hash. The hash is bound to the sealed record as
//! associated data and recomputed from the key inside it, so a record can be put neither in another
//! record's place nor in another vault.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Prk};
use aws_lc_rs::hmac;
use keyward_client::binding::KeyProtection;
use keyward_client::ports::{Record, RecordKey, RecordKind};
use keyward_locked_memory::Locked;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

use crate::epoch::Epoch;

/// Format of a sealed record.
const VERSION: u8 = 1;

/// Bytes of a vault's random id.
pub(crate) const VAULT_ID: usize = 16;

/// Bytes of a data key.
pub(crate) const DATA_KEY: usize = 32;

/// Bytes of a name key.
pub(crate) const NAME_KEY: usize = 32;

/// Bytes of a name.
const NAME: usize = 32;

/// The keyed hash of a record's key: its place in the database.
pub(crate) type Name = [u8; NAME];

/// What is said of a record that does not open.
const CHANGED: &str = "it was changed, or sealed by another key or for another place";

/// What one data key seals with.
pub(crate) struct Seal {
    records: LessSafeKey,
    epochs: LessSafeKey,
    names: hmac::Key,
    secrets: Secrets,
    protection: KeyProtection,
    vault_id: [u8; VAULT_ID],
}

/// What a device wraps for a vault.
pub(crate) struct Secrets {
    /// Seals the records with one protection.
    pub(crate) data_key: Locked<[u8; DATA_KEY]>,
    /// Names all records, whatever seals them: a record has one place.
    pub(crate) name_key: Locked<[u8; NAME_KEY]>,
}

impl Secrets {
    /// Those of a new data key; without a name key to share, one is made as well.
    pub(crate) fn draw(name_key: Option<&[u8; NAME_KEY]>) -> Result<Self, Refused> {
        let mut secrets = Self {
            data_key: Locked::default(),
            name_key: Locked::default(),
        };
        aws_lc_rs::rand::fill(&mut *secrets.data_key).map_err(|_| Refused)?;
        match name_key {
            Some(shared) => secrets.name_key.copy_from_slice(shared),
            None => aws_lc_rs::rand::fill(&mut *secrets.name_key).map_err(|_| Refused)?,
        }
        Ok(secrets)
    }

    /// Those of format 1, where names were keyed by a key derived from the only data key.
    pub(crate) fn of_format_1(data_key: &[u8]) -> Option<Self> {
        let data_key: Locked<[u8; DATA_KEY]> = Locked::copy_of(data_key.try_into().ok()?);
        let mut name_key = Locked::<[u8; NAME_KEY]>::default();
        Prk::new_less_safe(HKDF_SHA256, data_key.as_slice())
            .expand(&[b"keyward 1 names"], hmac::HMAC_SHA256)
            .and_then(|okm| okm.fill(&mut *name_key))
            .ok()?;
        Some(Self { data_key, name_key })
    }

    /// Both, one behind the other.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([self.data_key.as_slice(), self.name_key.as_slice()].concat())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) writes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (data_key, name_key) = bytes.split_at_checked(DATA_KEY)?;
        Some(Self {
            data_key: Locked::copy_of(data_key.try_into().ok()?),
            name_key: Locked::copy_of(name_key.try_into().ok()?),
        })
    }
}

/// The cryptographic library refused; it has no reason to.
#[derive(Debug)]
pub(crate) struct Refused;

impl Seal {
    /// Derives the keys for records and epochs from the data key (RFC 5869).
    pub(crate) fn new(
        secrets: Secrets,
        protection: KeyProtection,
        vault_id: [u8; VAULT_ID],
    ) -> Result<Self, Refused> {
        // The data key is uniformly random, so it is a pseudorandom key already.
        let prk = Prk::new_less_safe(HKDF_SHA256, secrets.data_key.as_slice());
        let derive = |purpose: &[u8]| {
            let purpose = [purpose];
            let okm = prk.expand(&purpose, &AES_256_GCM).map_err(|_| Refused)?;
            Ok(LessSafeKey::new(UnboundKey::from(okm)))
        };
        Ok(Self {
            records: derive(b"keyward 1 records")?,
            epochs: derive(b"keyward 2 epochs")?,
            names: hmac::Key::new(hmac::HMAC_SHA256, secrets.name_key.as_slice()),
            secrets,
            protection,
            vault_id,
        })
    }

    /// What the device wraps.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Where the record with this key is.
    pub(crate) fn name(&self, key: &RecordKey) -> Name {
        self.name_of_encoded(&encode(key))
    }

    fn name_of_encoded(&self, key: &[u8]) -> Name {
        let mut name = Name::default();
        name.copy_from_slice(hmac::sign(&self.names, key).as_ref());
        name
    }

    /// Seals a record. The nonce is random: 96 bits allow 2^32 seals under one key (NIST SP
    /// 800-38D §8.3), a rotation every second for 136 years.
    pub(crate) fn seal(&self, record: &Record) -> Result<(Name, Vec<u8>), Refused> {
        let key = encode(&record.key);
        let name = self.name_of_encoded(&key);
        let nonce = draw_nonce()?;
        let length = key.len() + record.value.len();
        let mut text = Zeroizing::new(Vec::with_capacity(length + AES_256_GCM.tag_len()));
        text.extend_from_slice(&key);
        text.extend_from_slice(&record.value);
        self.records
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                self.associated_data(&name),
                &mut *text,
            )
            .map_err(|_| Refused)?;
        Ok((name, [&[VERSION], nonce.as_slice(), &text].concat()))
    }

    /// Opens what stands at `name`.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in plain words.
    pub(crate) fn open(&self, name: &[u8], sealed: Vec<u8>) -> Result<Record, &'static str> {
        let name = Name::try_from(name).map_err(|_| CHANGED)?;
        let record = self.open_content(&name, sealed)?;
        if self.name(&record.key) != name {
            return Err(CHANGED);
        }
        Ok(record)
    }

    /// Opens what stands at `name`, which is the name of `key`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub(crate) fn open_known(
        &self,
        key: &RecordKey,
        name: &Name,
        sealed: Vec<u8>,
    ) -> Result<Record, &'static str> {
        let record = self.open_content(name, sealed)?;
        if record.key != *key {
            return Err(CHANGED);
        }
        Ok(record)
    }

    /// In place: a value has one copy, which is overwritten when it is dropped.
    fn open_content(&self, name: &Name, sealed: Vec<u8>) -> Result<Record, &'static str> {
        let mut text = Zeroizing::new(sealed);
        let (version, rest) = text.split_first().ok_or("it is empty")?;
        if *version != VERSION {
            return Err("it is of an unknown format");
        }
        let (nonce, _) = rest.split_at_checked(NONCE_LEN).ok_or(CHANGED)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| CHANGED)?;
        let (opened, key) = {
            let opened = self
                .records
                .open_within(
                    nonce,
                    self.associated_data(name),
                    &mut text,
                    1 + NONCE_LEN..,
                )
                .map_err(|_| CHANGED)?;
            let (key, value) = decode(opened).ok_or("its content is malformed")?;
            (opened.len() - value.len()..opened.len(), key)
        };
        let length = opened.len();
        text.copy_within(opened, 0);
        text.truncate(length);
        Ok(Record {
            key,
            value: text,
            protection: self.protection,
        })
    }

    fn associated_data(&self, name: &Name) -> Aad<[u8; 1 + VAULT_ID + NAME]> {
        let mut data = [VERSION; 1 + VAULT_ID + NAME];
        data[1..=VAULT_ID].copy_from_slice(&self.vault_id);
        data[1 + VAULT_ID..].copy_from_slice(name);
        Aad::from(data)
    }

    /// Seals the epoch of the data key with this number.
    pub(crate) fn seal_epoch(&self, number: i64, epoch: &Epoch) -> Result<Vec<u8>, Refused> {
        let nonce = draw_nonce()?;
        let mut text = match epoch {
            Epoch::Uncounted => Vec::new(),
            Epoch::At { counter, value } => [&value.to_be_bytes(), counter.as_bytes()].concat(),
        };
        self.epochs
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                self.associated_number(number),
                &mut text,
            )
            .map_err(|_| Refused)?;
        Ok([nonce.as_slice(), &text].concat())
    }

    /// Opens what [`seal_epoch`](Self::seal_epoch) sealed for the same data key. `None`: it was
    /// changed.
    pub(crate) fn open_epoch(&self, number: i64, sealed: &[u8]) -> Option<Epoch> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let opened = self
            .epochs
            .open_in_place(nonce, self.associated_number(number), &mut text)
            .ok()?;
        let Some((value, counter)) = opened.split_first_chunk() else {
            return opened.is_empty().then_some(Epoch::Uncounted);
        };
        Some(Epoch::At {
            counter: std::str::from_utf8(counter).ok()?.to_owned(),
            value: u64::from_be_bytes(*value),
        })
    }

    fn associated_number(&self, number: i64) -> Aad<Vec<u8>> {
        Aad::from([self.vault_id.as_slice(), &number.to_be_bytes()].concat())
    }
}

fn draw_nonce() -> Result<[u8; NONCE_LEN], Refused> {
    let mut nonce = [0; NONCE_LEN];
    fill_from_kernel(&mut nonce)?;
    Ok(nonce)
}

/// Every field with its length in front, so that no two keys have the same encoding.
fn encode(key: &RecordKey) -> Vec<u8> {
    let fields = [key.kind.as_str(), &key.account, &key.client, &key.detail];
    let mut encoded = Vec::with_capacity(fields.iter().map(|field| 4 + field.len()).sum());
    for field in fields {
        // A field of 4 GiB would not fit a record in the first place.
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        encoded.extend_from_slice(&length.to_be_bytes());
        encoded.extend_from_slice(field.as_bytes());
    }
    encoded
}

/// Splits a key off the front.
pub(crate) fn decode(text: &[u8]) -> Option<(RecordKey, &[u8])> {
    let (kind, rest) = decode_field(text)?;
    let (account, rest) = decode_field(rest)?;
    let (client, rest) = decode_field(rest)?;
    let (detail, value) = decode_field(rest)?;
    let key = RecordKey {
        kind: RecordKind::parse(kind)?,
        account: account.to_owned(),
        client: client.to_owned(),
        detail: detail.to_owned(),
    };
    Some((key, value))
}

fn decode_field(text: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = text.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, rest) = rest.split_at_checked(length)?;
    Some((std::str::from_utf8(field).ok()?, rest))
}

/// Random bytes of the kernel. The library's own generator measures the processor's jitter before
/// its first byte, for longer than a broker otherwise takes to start; a start seals one epoch.
fn fill_from_kernel(bytes: &mut [u8]) -> Result<(), Refused> {
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(_) => return Err(Refused),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(account: &str, detail: &str) -> Record {
        Record {
            key: RecordKey {
                kind: RecordKind::RefreshToken,
                account: account.to_owned(),
                client: "client".to_owned(),
                detail: detail.to_owned(),
            },
            value: Zeroizing::new(b"{\"secret\":\"s3cret\"}".to_vec()),
            protection: KeyProtection::Software,
        }
    }

    fn seal_with(data_key: u8, vault_id: u8) -> Seal {
        let secrets = Secrets {
            data_key: Locked::copy_of(&[data_key; DATA_KEY]),
            name_key: Locked::copy_of(&[7; NAME_KEY]),
        };
        Seal::new(secrets, KeyProtection::Software, [vault_id; VAULT_ID]).unwrap()
    }

    fn seal() -> Seal {
        seal_with(1, 2)
    }

    #[test]
    fn a_record_opens_where_it_was_sealed_and_nowhere_else() {
        let record = record("a", "d");
        let (name, sealed) = seal().seal(&record).unwrap();
        let opened = seal().open(&name, sealed.clone()).unwrap();
        assert_eq!(opened.key, record.key);
        assert_eq!(opened.value, record.value);

        let (other_name, _) = seal().seal(&self::record("b", "d")).unwrap();
        assert!(seal().open(&other_name, sealed.clone()).is_err());
        assert!(seal().open(&name[..31], sealed.clone()).is_err());
        for other in [seal_with(9, 2), seal_with(1, 9)] {
            assert!(other.open(&name, sealed.clone()).is_err());
        }
    }

    #[test]
    fn an_epoch_opens_for_its_data_key_and_not_when_it_was_changed() {
        let counted = Epoch::At {
            counter: "0x01801234".to_owned(),
            value: 7,
        };
        for epoch in [Epoch::Uncounted, counted] {
            let sealed = seal().seal_epoch(3, &epoch).unwrap();
            assert_eq!(seal().open_epoch(3, &sealed), Some(epoch));
            assert_eq!(seal().open_epoch(4, &sealed), None);
            assert_eq!(seal_with(1, 3).open_epoch(3, &sealed), None);
            for index in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[index] ^= 1;
                assert_eq!(seal().open_epoch(3, &changed), None, "byte {index}");
                assert_eq!(seal().open_epoch(3, &sealed[..index]), None);
            }
        }
    }

    #[test]
    fn two_seals_of_one_record_differ_but_for_the_name() {
        let [a, b] = [(); 2].map(|()| seal().seal(&record("a", "d")).unwrap());
        assert_eq!(a.0, b.0);
        assert_ne!(a.1, b.1);
    }

    #[test]
    fn fields_cannot_flow_into_each_other() {
        assert_ne!(
            seal().name(&record("a", "bc").key),
            seal().name(&record("ab", "c").key)
        );
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let (name, sealed) = seal().seal(&record("a", "d")).unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 0x40;
            assert!(seal().open(&name, changed).is_err(), "byte {index}");
            assert!(
                seal().open(&name, sealed[..index].to_vec()).is_err(),
                "length {index}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_opening_panic(
            name in prop::collection::vec(any::<u8>(), 0..40),
            sealed in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            prop_assert!(seal().open(&name, sealed).is_err());
        }

        #[test]
        fn no_plaintext_makes_decoding_panic(text in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some((key, value)) = decode(&text) {
                prop_assert_eq!([encode(&key).as_slice(), value].concat(), text);
            }
        }

        #[test]
        fn every_key_is_read_back(account in ".*", client in ".*", detail in ".*") {
            let key = RecordKey { kind: RecordKind::IdToken, account, client, detail };
            let encoded = encode(&key);
            let (decoded, rest) = decode(&encoded).unwrap();
            prop_assert_eq!(decoded, key);
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn every_nonce_is_drawn_whole_and_anew() {
        let nonces: Vec<_> = (0..64).map(|_| draw_nonce().unwrap()).collect();
        for (number, nonce) in nonces.iter().enumerate() {
            assert_ne!(*nonce, [0; NONCE_LEN]);
            assert!(!nonces[..number].contains(nonce));
        }
    }
}
