//! Random identifiers and secrets.

use keyward_jose::base64url;
use uuid::Uuid;

/// Fresh random octets.
pub(crate) fn octets<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    // INVARIANT: the operating system's generator is seeded before any process of ours runs;
    // without it nothing here could be made safely, so there is nothing to carry on with.
    #[allow(clippy::expect_used)]
    aws_lc_rs::rand::fill(&mut octets).expect("the system has a random generator");
    octets
}

/// A secret nobody guesses: 256 bits, base64url, 43 characters.
pub(crate) fn secret() -> String {
    base64url::encode(&octets::<32>())
}

/// A short unique id, as Entra writes `uti`: 128 bits, base64url, 22 characters.
pub(crate) fn short_id() -> String {
    base64url::encode(&octets::<16>())
}

/// A random GUID.
pub(crate) fn guid() -> Uuid {
    uuid::Builder::from_random_bytes(octets()).into_uuid()
}

/// A code a person types: eight consonants (RFC 8628 §6.1), so no words and no look-alikes.
pub(crate) fn user_code() -> String {
    const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
    let mut code = String::with_capacity(8);
    while code.len() < 8 {
        // 240 is the largest multiple of 20 below 256: no letter is likelier than another.
        let [octet] = octets::<1>();
        if octet < 240 {
            code.push(char::from(LETTERS[usize::from(octet % 20)]));
        }
    }
    code
}
