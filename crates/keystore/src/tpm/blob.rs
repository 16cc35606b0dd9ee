//! What is kept of a key outside the TPM, as octets.
//!
//! `magic || kind || flags || template || name || public || private || check`, where name, public
//! and private area have their length (16 bits, big-endian) before them. The private area is
//! encrypted and authenticated by the parent; the check tells damage on the disk from a TPM that is
//! another one.

use aws_lc_rs::digest::{Context, SHA256};

use super::parent::{ParentId, Template};
use crate::KeyKind;

/// What it is, and the version of its format. A newer format has another number, and is refused
/// here.
const MAGIC: [u8; 8] = *b"KWTPM\0\0\x01";
/// Bytes of the digest at the end.
const CHECK: usize = 8;
/// The flag of a key that wants a PIN.
const PIN: u8 = 1;

/// What the object in the TPM is for. The numbers are those in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A key.
    Key(KeyKind),
    /// A sealed secret.
    Seal,
}

impl Purpose {
    const ALL: [(u8, Self); 5] = [
        (1, Self::Key(KeyKind::Sign)),
        (2, Self::Key(KeyKind::Agree)),
        (3, Self::Key(KeyKind::Decrypt)),
        (4, Self::Key(KeyKind::Mac)),
        (5, Self::Seal),
    ];

    fn number(self) -> u8 {
        let found = Self::ALL.iter().find(|(_, purpose)| *purpose == self);
        found.map_or(0, |(number, _)| *number)
    }

    fn of(number: u8) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == number);
        found.map(|(_, purpose)| *purpose)
    }
}

/// What is kept of an object that only the TPM can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) purpose: Purpose,
    /// Whether every use wants a PIN.
    pub(super) pin: bool,
    pub(super) parent: ParentId,
    /// The marshalled public area (TPMT_PUBLIC).
    pub(super) public: Vec<u8>,
    /// The encrypted private area (TPM2B_PRIVATE without its size).
    pub(super) private: Vec<u8>,
}

/// Why octets are no such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoBlob(pub(super) &'static str);

impl Blob {
    /// As it is written, bound to the name of its key.
    pub(super) fn encode(&self, name: &str) -> Vec<u8> {
        let flags = if self.pin { PIN } else { 0 };
        let template = self.parent.template as u8;
        let mut octets = MAGIC.to_vec();
        octets.extend([self.purpose.number(), flags, template]);
        for part in [&self.parent.name, &self.public, &self.private] {
            // INVARIANT: every one of them fits into a TPM2B, whose size has 16 bits.
            let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
            octets.extend(length.to_be_bytes());
            octets.extend(part);
        }
        let check = check_of(&octets, name);
        octets.extend(check);
        octets
    }

    /// Reads what [`encode`](Self::encode) wrote for the same name, and returns what follows it.
    pub(super) fn decode<'a>(octets: &'a [u8], name: &str) -> Result<(Self, &'a [u8]), NoBlob> {
        const SHORT: NoBlob = NoBlob("it was cut short");
        let rest = octets
            .strip_prefix(&MAGIC)
            .ok_or(NoBlob("it is no TPM key, or of a newer format"))?;
        let (&[purpose, flags, template], rest) = rest.split_first_chunk().ok_or(SHORT)?;
        let (parent_name, rest) = part(rest).ok_or(SHORT)?;
        let (public, rest) = part(rest).ok_or(SHORT)?;
        let (private, rest) = part(rest).ok_or(SHORT)?;
        let (check, rest) = rest.split_at_checked(CHECK).ok_or(SHORT)?;
        let checked = &octets[..octets.len() - CHECK - rest.len()];
        if check_of(checked, name) != check {
            return Err(NoBlob("it was changed, or belongs to another key"));
        }
        let unknown = NoBlob("it is of a newer kind");
        let blob = Self {
            purpose: Purpose::of(purpose).ok_or(unknown)?,
            pin: match flags {
                0 => false,
                PIN => true,
                _ => return Err(unknown),
            },
            parent: ParentId {
                template: Template::of(template).ok_or(unknown)?,
                name: parent_name.to_vec(),
            },
            public: public.to_vec(),
            private: private.to_vec(),
        };
        Ok((blob, rest))
    }
}

fn part(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = octets.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn check_of(octets: &[u8], name: &str) -> [u8; CHECK] {
    let mut context = Context::new(&SHA256);
    context.update(octets);
    context.update(name.as_bytes());
    let mut check = [0; CHECK];
    check.copy_from_slice(&context.finish().as_ref()[..CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blob() -> Blob {
        Blob {
            purpose: Purpose::Key(KeyKind::Agree),
            pin: true,
            parent: ParentId {
                template: Template::P256,
                name: vec![1; 34],
            },
            public: vec![2; 88],
            private: vec![3; 126],
        }
    }

    #[test]
    fn what_was_written_is_read_for_the_same_name_only() {
        let mut octets = blob().encode("a");
        octets.extend(b"rest");
        assert_eq!(Blob::decode(&octets, "a"), Ok((blob(), b"rest".as_slice())));
        assert!(Blob::decode(&octets, "b").is_err());
        for (_, purpose) in Purpose::ALL {
            let one = Blob {
                purpose,
                pin: false,
                ..blob()
            };
            assert_eq!(Blob::decode(&one.encode(""), ""), Ok((one, [].as_slice())));
        }
    }

    #[test]
    fn every_changed_or_missing_byte_is_found() {
        let octets = blob().encode("a");
        for index in 0..octets.len() {
            let mut changed = octets.clone();
            changed[index] ^= 1;
            assert!(Blob::decode(&changed, "a").is_err(), "byte {index}");
            assert!(
                Blob::decode(&octets[..index], "a").is_err(),
                "length {index}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(
            magic in any::<bool>(), octets in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let octets = if magic { [MAGIC.as_slice(), &octets].concat() } else { octets };
            prop_assert!(Blob::decode(&octets, "a").is_err());
        }
    }
}
