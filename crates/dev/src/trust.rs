//! The certificate the session's authority shows over TLS, and who trusts it: the session's command,
//! and nobody else on this machine.

use std::ffi::OsString;
use std::fs;

use keyward_dev_authority::Running;

use crate::DevError;
use crate::place::Place;

/// Where Python's `requests`, and with it MSAL Python, looks for certificates to trust. Where one of
/// these is set, it wins over whatever the program says; where none is, the program decides.
const BUNDLES: [&str; 2] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];

/// Writes the files and says how a command is told of them.
///
/// # Errors
///
/// When they cannot be written.
pub fn variables(
    place: &Place,
    authority: &Running,
) -> Result<Vec<(&'static str, OsString)>, DevError> {
    let certificate = place.path().join("authority.pem");
    fs::write(&certificate, authority.certificate())
        .map_err(DevError::io("write the authority's certificate"))?;
    let mut variables = vec![("KEYWARD_DEV_TLS_CERTIFICATE", certificate.into())];
    if let Some(trusted) = trusted(|name| std::env::var_os(name)) {
        let bundle = place.path().join("trusted.pem");
        fs::write(&bundle, trusted + "\n" + authority.certificate())
            .map_err(DevError::io("write the certificates to trust"))?;
        variables.push((BUNDLES[0], bundle.into()));
    }
    Ok(variables)
}

/// What the environment tells `requests` to trust, in PEM: kept, and added to. `None` leaves the
/// environment as it is, also where it names a folder or nothing that can be read.
fn trusted(variable: impl Fn(&str) -> Option<OsString>) -> Option<String> {
    let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
    let file = BUNDLES.iter().find_map(set)?;
    fs::read_to_string(file).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_the_environment_trusts_stays_trusted_and_nothing_else_is_added() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            path
        };
        let (requests, curl) = (file("requests"), file("curl"));
        let missing = folder.path().join("missing");
        let with = |requests: Option<&Path>, curl: Option<&Path>| {
            trusted(|name| {
                let path = if name == BUNDLES[0] { requests } else { curl };
                path.map(|path| path.as_os_str().to_owned())
            })
        };
        assert_eq!(with(Some(&requests), Some(&curl)).unwrap(), "requests");
        assert_eq!(with(None, Some(&curl)).unwrap(), "curl");
        assert_eq!(with(Some(Path::new("")), Some(&curl)).unwrap(), "curl");
        assert_eq!(with(None, None), None, "the program decides");
        assert_eq!(with(Some(folder.path()), None), None, "a folder stays one");
        assert_eq!(with(Some(&missing), None), None);
    }
}
