//! Somebody who has a refresh token that was not issued to him, and a key of his own.

use std::sync::Arc;
use std::time::SystemTime;

use keyward_keystore::{KeyKind, KeyStore as _, SoftwareKeyStore};
use keyward_oauth::dpop::{self, ProofTarget};
use keyward_oauth::jose::Signer;
use keyward_oauth::time::UnixTime;
use keyward_testkit::http::{self, Response};
use url::Url;
use uuid::Uuid;

/// A thief at another device: his key is not the one the refresh token is bound to.
pub struct TokenThief {
    key: Arc<dyn Signer>,
    token_endpoint: Url,
}

impl TokenThief {
    /// A thief who goes to this token endpoint.
    pub fn at(token_endpoint: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let keys = SoftwareKeyStore::open(&folder.path().join("keys"));
        let keys = keys.expect("the folder is the thief's own");
        let made = keys.create(KeyKind::Sign, None);
        let key = made.and_then(|id| keys.open(&id));
        Self {
            key: key.expect("a key can be made"),
            token_endpoint: token_endpoint.parse().expect("an endpoint is a URL"),
        }
    }

    /// Redeems a refresh token as a client would (RFC 6749 §6), with proofs by his own key and the
    /// nonce the authority asks for (RFC 9449 §8).
    pub fn redeem(&self, client_id: &str, refresh_token: &str) -> Response {
        let first = self.send(client_id, refresh_token, Some(&self.proof(None)));
        let nonce = first.header("dpop-nonce").map(str::to_owned);
        if first.body.contains("use_dpop_nonce") {
            let proof = self.proof(nonce.as_deref());
            return self.send(client_id, refresh_token, Some(&proof));
        }
        first
    }

    /// The same without any proof.
    pub fn redeem_without_proof(&self, client_id: &str, refresh_token: &str) -> Response {
        self.send(client_id, refresh_token, None)
    }

    fn send(&self, client_id: &str, refresh_token: &str, proof: Option<&str>) -> Response {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token")
            .append_pair("client_id", client_id)
            .append_pair("refresh_token", refresh_token);
        let proof: Vec<_> = proof.into_iter().map(|proof| ("DPoP", proof)).collect();
        let answer = http::post_form(self.token_endpoint.as_str(), &proof, &form.finish());
        answer.expect("the authority answers a thief, too")
    }

    fn proof(&self, nonce: Option<&str>) -> String {
        let target = ProofTarget {
            method: "POST",
            url: &self.token_endpoint,
            nonce,
            access_token: None,
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = UnixTime::from_secs(now.expect("it is after 1970").as_secs());
        let jti = *Uuid::new_v4().as_bytes();
        dpop::proof(self.key.public_jwk(), &target, now, jti)
            .sign(&*self.key)
            .expect("the thief's key signs")
    }
}
