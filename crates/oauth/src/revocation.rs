//! Revoking a refresh token at sign-out (RFC 7009).

use url::Url;

use crate::dpop;
use crate::form::Form;
use crate::identifiers::ClientId;
use crate::secret::RefreshToken;
use crate::transport::{HttpRequest, HttpResponse};

/// The revocation request (RFC 7009 §2.1). The proof, if there is one, is by the key the token is
/// bound to.
pub fn request(
    revocation_endpoint: &Url,
    client_id: &ClientId,
    token: &RefreshToken,
    dpop_proof: Option<&str>,
) -> HttpRequest {
    let mut form = Form::default();
    form.push("token", token.expose_secret());
    form.push("token_type_hint", "refresh_token");
    form.push("client_id", client_id.as_str());
    let mut request = form.post(revocation_endpoint);
    if let Some(proof) = dpop_proof {
        dpop::attach(&mut request, proof);
    }
    request
}

/// Whether the token is dead now: 200, also for a token the authority never knew (RFC 7009 §2.2).
pub fn succeeded(response: &HttpResponse) -> bool {
    response.status == http::StatusCode::OK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_travels_in_the_body_with_its_hint() {
        let url = Url::parse("https://op.example/revoke").unwrap();
        let client = ClientId::parse("native").unwrap();
        let request = request(
            &url,
            &client,
            &RefreshToken::new("r&1".to_owned()),
            Some("p.q.r"),
        );
        assert_eq!(request.method, http::Method::POST);
        assert_eq!(request.url, url);
        assert_eq!(
            &request.body[..],
            b"token=r%261&token_type_hint=refresh_token&client_id=native"
        );
        assert_eq!(request.headers["dpop"], "p.q.r");
    }
}
