//! Entra's `client_info`: the account's numbers in its home tenant (`device-binding.md` 4.3).

use keyward_jose::base64url;

use crate::answer::{Answer, InvalidAnswer};
use crate::identifiers::HomeAccountId;

/// The longest `client_info` read, in bytes.
const LONGEST: usize = 4096;

/// Who tokens are for: the user's and the tenant's number where the account is at home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo(HomeAccountId);

impl ClientInfo {
    /// Parses the base64url text of `{"uid":…,"utid":…}`.
    ///
    /// # Errors
    ///
    /// When it is not that, or a number is empty, holds a dot or is not printable.
    pub fn parse(text: &str) -> Result<Self, InvalidAnswer> {
        let malformed = InvalidAnswer::Malformed("client_info");
        if text.len() > LONGEST {
            return Err(malformed);
        }
        // Some servers pad.
        let json = base64url::decode(text.trim_end_matches('=')).map_err(|_| malformed)?;
        let mut answer = Answer::parse(&json)?;
        let (uid, utid) = (answer.required("uid")?, answer.required("utid")?);
        if uid.contains('.') || utid.contains('.') {
            return Err(malformed);
        }
        HomeAccountId::parse(&format!("{uid}.{utid}"))
            .map(Self)
            .map_err(|_| malformed)
    }

    /// The user's number in the home tenant.
    pub fn uid(&self) -> &str {
        self.0.uid()
    }

    /// The home tenant's number.
    pub fn utid(&self) -> &str {
        self.0.utid()
    }

    /// The account's identifier across tenants, `uid.utid`.
    pub fn home_account_id(&self) -> &HomeAccountId {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(json: &str) -> Result<ClientInfo, InvalidAnswer> {
        ClientInfo::parse(&base64url::encode(json.as_bytes()))
    }

    #[test]
    fn the_client_info_of_the_vectors_names_alice() {
        let text = crate::test_fixtures::vectors()["prt_response_v2"]["client_info"]
            .as_str()
            .unwrap()
            .to_owned();
        let info = ClientInfo::parse(&text).unwrap();
        assert_eq!(info.uid(), "00000000-0000-0000-0000-0000000000aa");
        assert_eq!(info.utid(), "11111111-2222-3333-4444-555555555555");
        assert_eq!(info, ClientInfo::parse(&(text + "==")).unwrap());
    }

    #[test]
    fn a_number_that_would_blur_the_account_is_refused() {
        for bad in [
            r#"{"uid":"a","utid":""}"#,
            r#"{"uid":"a"}"#,
            r#"{"uid":"a.b","utid":"c"}"#,
            r#"{"uid":"a","utid":"b.c"}"#,
            r#"{"uid":"a","utid":"b\n"}"#,
            r#"{"uid":1,"utid":"b"}"#,
            r#"{"uid":"a","uid":"b","utid":"c"}"#,
            "[]",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(ClientInfo::parse("!").is_err());
        assert!(ClientInfo::parse(&"A".repeat(LONGEST + 1)).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".{0,128}", bytes in any::<Vec<u8>>()) {
            let _ = ClientInfo::parse(&text);
            let _ = ClientInfo::parse(&base64url::encode(&bytes));
        }
    }
}
