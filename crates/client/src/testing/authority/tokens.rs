//! The token endpoint.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use keyward_oauth::dpop::check::{ExpectedProof, check};
use keyward_oauth::jose::Algorithm;
use keyward_oauth::jose::base64url;
use keyward_oauth::jose::jws::{Header, Unsigned};
use keyward_oauth::transport::{HttpRequest, HttpResponse};

use super::{
    Authority, Binds, ENTRA, Fault, Grant, ISSUER, SoftKey, State, TENANT, TokenState, answer,
    s256, tenant_of,
};
use crate::authority::AuthorityKind;
use crate::ports::Clock as _;

type Form = HashMap<String, String>;

fn refused(error: &str) -> HttpResponse {
    answer(400, &json!({ "error": error }))
}

impl Authority {
    pub(super) fn token(&self, request: &HttpRequest, fault: Option<&Fault>) -> HttpResponse {
        let form: Form = url::form_urlencoded::parse(&request.body)
            .into_owned()
            .collect();
        let mut state = self.state();
        state.forms.push(form.clone());
        let response = match self.proved(&state, request) {
            Ok(jkt) => self.granted(&mut state, request, &form, jkt.as_deref(), fault),
            Err(error) => refused(error),
        };
        drop(state);
        let mut response = response;
        self.give_nonce(&mut response);
        response
    }

    /// The key of the request's proof (RFC 9449 §4.3).
    fn proved(&self, state: &State, request: &HttpRequest) -> Result<Option<String>, &'static str> {
        let Some(proof) = request.headers.get("dpop") else {
            return Ok(None);
        };
        assert_ne!(state.binds, Binds::Nothing, "a proof nobody asked for");
        let expected = ExpectedProof {
            method: "POST",
            url: &request.url,
            access_token: None,
            max_age: Duration::from_secs(60),
            leeway: Duration::from_secs(5),
        };
        let proof = check(proof.to_str().unwrap(), &expected, self.clock.now()).unwrap();
        if state.nonce.is_some() && proof.nonce != state.nonce {
            return Err("use_dpop_nonce");
        }
        Ok(Some(proof.jkt.to_string()))
    }

    fn granted(
        &self,
        state: &mut State,
        request: &HttpRequest,
        form: &Form,
        jkt: Option<&str>,
        fault: Option<&Fault>,
    ) -> HttpResponse {
        let mut grant = match form["grant_type"].as_str() {
            "authorization_code" => match redeem_code(state, form, jkt) {
                Ok(grant) => grant,
                Err(error) => return refused(error),
            },
            "refresh_token" => match redeem_refresh_token(state, form, jkt) {
                Ok(grant) => grant,
                Err(error) => return refused(error),
            },
            other => panic!("grant_type {other}"),
        };
        if let Some(Fault::About(user)) = fault {
            grant.user = user;
        }
        if state.kind == AuthorityKind::Entra {
            grant.tenant = tenant_of(&request.url).to_owned();
        }
        if let Some(Fault::OfTenant(tenant)) = fault {
            grant.tenant = (*tenant).to_owned();
        }
        if state.binds == Binds::RefreshTokens || state.binds == Binds::Everything {
            grant.jkt = jkt.map(str::to_owned);
        } else {
            grant.jkt = None;
        }
        if let Some(Fault::NewSigningKey) = fault {
            state.signing_keys.push(SoftKey::generate());
        }
        let mut body = self.answered(state, form, &grant, jkt.is_some());
        if let Some(Fault::Changed(change)) = fault {
            change(&mut body);
        }
        answer(200, &body)
    }

    fn answered(&self, state: &mut State, form: &Form, grant: &Grant, proved: bool) -> Value {
        state.issued += 1;
        let number = state.issued;
        let asks_dpop = form.get("token_type").is_some_and(|t| t == "DPoP");
        let dpop = proved
            && match state.binds {
                Binds::Nothing | Binds::Pretends => false,
                Binds::RefreshTokens => asks_dpop,
                Binds::Everything => true,
            };
        let pop = form.get("token_type").is_some_and(|t| t == "pop");
        let asked = form
            .get("scope")
            .filter(|_| form["grant_type"] == "refresh_token");
        let asked = asked.unwrap_or(&grant.scope);
        let mut body = json!({
            "access_token": format!("at-{number}-{}", grant.user),
            "token_type": if dpop { "DPoP" } else if pop { "pop" } else { "Bearer" },
            "expires_in": state.expires_in,
            "scope": state.grants.unwrap_or(asked),
        });
        if let Some(refresh_in) = state.refresh_in {
            body["refresh_in"] = json!(refresh_in);
        }
        let first = form["grant_type"] == "authorization_code";
        if first || state.rotates {
            let token = format!("rt-{number}-{}", grant.user);
            body["refresh_token"] = json!(token);
            state
                .refresh_tokens
                .insert(token, (grant.clone(), TokenState::Valid));
        }
        if state.kind == AuthorityKind::Entra {
            let info = json!({ "uid": guid(grant.user), "utid": TENANT }).to_string();
            body["client_info"] = json!(base64url::encode(info.as_bytes()));
        }
        if first || state.gives_id_token_on_refresh {
            body["id_token"] = json!(self.id_token(state, grant, first));
        }
        body
    }

    fn id_token(&self, state: &State, grant: &Grant, first: bool) -> String {
        let now = self.clock.now().as_secs();
        let mut claims = json!({
            "iss": ISSUER, "sub": grant.user, "aud": grant.client, "iat": now, "exp": now + 3600,
            "preferred_username": format!("{}@dev.test", grant.user), "name": grant.user,
        });
        if first {
            claims["nonce"] = json!(grant.nonce);
        }
        if state.kind == AuthorityKind::Entra {
            let tenant = match grant.tenant.as_str() {
                "common" | "organizations" | "dev.test" => TENANT,
                tenant => tenant,
            };
            claims["iss"] = json!(format!("{ENTRA}/{tenant}/v2.0"));
            claims["tid"] = json!(tenant);
            claims["oid"] = json!(guid(grant.user));
        }
        let newest = state.signing_keys.len() - 1;
        let header = Header::new(Algorithm::Es256).with_kid(format!("kid-{newest}"));
        let unsigned = Unsigned::new(&header, claims.to_string().as_bytes());
        let signature = state.signing_keys[newest].signature(unsigned.signing_input());
        unsigned.finish(&signature)
    }
}

/// RFC 6749 §4.1.3, RFC 7636 §4.6, RFC 9449 §10. A code works once.
fn redeem_code(state: &mut State, form: &Form, jkt: Option<&str>) -> Result<Grant, &'static str> {
    let grant = state.codes.remove(&form["code"]).ok_or("invalid_grant")?;
    assert_eq!(s256(&form["code_verifier"]), grant.challenge);
    assert_eq!(form["redirect_uri"], grant.redirect_uri);
    assert_eq!(form["client_id"], grant.client);
    assert!(
        grant.jkt.is_none() || grant.jkt.as_deref() == jkt,
        "the code is bound to its key"
    );
    Ok(grant)
}

/// RFC 6749 §6 and §10.4, RFC 9449 §5: the key first, so that a thief cannot revoke the family.
fn redeem_refresh_token(
    state: &mut State,
    form: &Form,
    jkt: Option<&str>,
) -> Result<Grant, &'static str> {
    let text = &form["refresh_token"];
    let (grant, token_state) = state
        .refresh_tokens
        .get(text)
        .cloned()
        .ok_or("invalid_grant")?;
    assert_eq!(form["client_id"], grant.client);
    if grant.jkt.is_some() && grant.jkt.as_deref() != jkt {
        if state.revokes_on_wrong_key {
            revoke_family(state, grant.family);
        }
        return Err("invalid_grant");
    }
    match token_state {
        TokenState::Valid => {}
        TokenState::Revoked => return Err("invalid_grant"),
        TokenState::Used => {
            revoke_family(state, grant.family);
            return Err("invalid_grant");
        }
    }
    let scope = form.get("scope").map_or("", String::as_str);
    let granted: Vec<&str> = grant.scope.split(' ').collect();
    if state.kind == AuthorityKind::OpenId && !scope.split(' ').all(|s| granted.contains(&s)) {
        return Err("invalid_scope");
    }
    if state.rotates {
        state
            .refresh_tokens
            .insert(text.clone(), (grant.clone(), TokenState::Used));
    }
    Ok(grant)
}

fn revoke_family(state: &mut State, family: u32) {
    for (grant, token_state) in state.refresh_tokens.values_mut() {
        if grant.family == family {
            *token_state = TokenState::Revoked;
        }
    }
}

impl State {
    /// Makes every refresh token worthless.
    pub fn revoke_everything(&mut self) {
        for (_, token_state) in self.refresh_tokens.values_mut() {
            *token_state = TokenState::Revoked;
        }
    }

    /// Refresh tokens that still work.
    pub fn valid_refresh_tokens(&self) -> Vec<String> {
        let tokens = self.refresh_tokens.iter();
        let valid = tokens.filter(|(_, (_, token_state))| *token_state == TokenState::Valid);
        valid.map(|(text, _)| text.clone()).collect()
    }
}

/// The user's number at Entra.
pub fn guid(user: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, user.as_bytes()).to_string()
}
