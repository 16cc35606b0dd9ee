//! DPoP nonces (RFC 9449 §8, §9): the latest of each server.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use url::{Origin, Url};

/// The most servers remembered; beyond, the one heard of longest ago is forgotten.
const MOST: usize = 256;
/// Longer nonces are not remembered.
const LONGEST: usize = 4096;

/// Whose nonce it is. One origin may be both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// The authorization server's (§8).
    Authority,
    /// The resource server's (§9).
    Resource,
}

/// The latest nonce of each origin and kind of server.
#[derive(Default)]
pub struct Nonces(Mutex<Known>);

#[derive(Default)]
struct Known {
    nonces: HashMap<(Server, String), (u64, String)>,
    heard: u64,
}

impl Nonces {
    /// The nonce the server gave last.
    pub fn latest(&self, server: Server, url: &Url) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, nonce) = known.nonces.get(&(server, origin(url)?))?;
        Some(nonce.clone())
    }

    /// Takes a nonce from an answer, whatever else the answer says.
    pub fn heard(&self, server: Server, url: &Url, nonce: &str) {
        let Some(origin) = origin(url).filter(|_| nonce.len() <= LONGEST) else {
            return;
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (server, origin);
        if known.nonces.len() >= MOST
            && !known.nonces.contains_key(&key)
            && let Some(oldest) = known.nonces.iter().min_by_key(|(_, (heard, _))| *heard)
        {
            let oldest = oldest.0.clone();
            known.nonces.remove(&oldest);
        }
        known.heard += 1;
        let heard = known.heard;
        known.nonces.insert(key, (heard, nonce.to_owned()));
    }
}

fn origin(url: &Url) -> Option<String> {
    match url.origin() {
        Origin::Opaque(_) => None,
        origin @ Origin::Tuple(..) => Some(origin.ascii_serialization()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_latest_nonce_counts_per_origin_and_kind_of_server() {
        let nonces = Nonces::default();
        nonces.heard(Server::Authority, &url("https://a.example/token"), "1");
        nonces.heard(Server::Authority, &url("https://a.example/other"), "2");
        nonces.heard(Server::Resource, &url("https://a.example/api"), "3");
        let latest = |server, text| nonces.latest(server, &url(text));
        assert_eq!(
            latest(Server::Authority, "https://a.example/").as_deref(),
            Some("2")
        );
        assert_eq!(
            latest(Server::Resource, "https://a.example/").as_deref(),
            Some("3")
        );
        assert_eq!(latest(Server::Authority, "https://a.example:8443/"), None);
        assert_eq!(latest(Server::Authority, "http://a.example/"), None);
    }

    #[test]
    fn servers_are_forgotten_when_there_are_too_many() {
        let nonces = Nonces::default();
        for n in 0..10_000 {
            nonces.heard(
                Server::Resource,
                &url(&format!("https://s{n}.example")),
                "n",
            );
        }
        assert_eq!(nonces.0.lock().unwrap().nonces.len(), MOST);
        assert!(
            nonces
                .latest(Server::Resource, &url("https://s9999.example"))
                .is_some()
        );
        assert!(
            nonces
                .latest(Server::Resource, &url("https://s0.example"))
                .is_none()
        );
    }
}
