//! The hosts of Microsoft's clouds (`device-binding.md` 4.1, `msal-parity.md` 4.3).

use super::name::Name;
use super::{Authority, Tenant};

/// Each cloud's hosts; the first is the one to talk to and to show.
const CLOUDS: [&[&str]; 8] = [
    &[
        "login.microsoftonline.com",
        "login.windows.net",
        "login.microsoft.com",
        "sts.windows.net",
    ],
    &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    &["login.microsoftonline.us", "login.usgovcloudapi.net"],
    &["login-us.microsoftonline.com"],
    &["login.microsoftonline.de"],
    &["login.sovcloud-identity.fr"],
    &["login.sovcloud-identity.de"],
    &["login.sovcloud-identity.sg"],
];

/// Whether `host` (lower case, no port) is one of Microsoft's sign-in hosts.
pub fn is_well_known(host: &str) -> bool {
    cloud_of(host).is_some()
}

/// How accounts of an authority on `host` name their environment: one spelling per cloud.
pub fn environment(host: &str) -> &str {
    cloud_of(host).unwrap_or(host)
}

/// The authority on a well-known host. A missing tenant is `common`.
pub(super) fn authority(name: &Name) -> Option<Authority> {
    let host = cloud_of(name.host())?;
    let tenant = match name.first_or_no_segment()? {
        "" => Tenant::Common,
        segment => Tenant::parse(segment)?,
    };
    Authority::entra(&Name::parse(&format!("https://{host}/{tenant}")).ok()?)
}

fn cloud_of(host: &str) -> Option<&'static str> {
    let cloud = CLOUDS.iter().find(|hosts| hosts.contains(&host))?;
    cloud.first().copied()
}
