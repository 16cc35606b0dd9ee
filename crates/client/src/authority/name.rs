//! The URL by which somebody names an authority, in a form that compares.

use std::fmt;

use url::{Host, Url};

use super::InvalidAuthority;

/// Longer names are no authority's.
const LONGEST: usize = 2048;

/// A normalised name: lower-case host, no trailing slash, no `/v2.0`, http on loopback only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    scheme: &'static str,
    host: String,
    port: Option<u16>,
    /// Without leading and trailing slash.
    path: String,
}

impl Name {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidAuthority> {
        let not_a_url = || InvalidAuthority::NotAUrl(text.chars().take(200).collect());
        if text.len() > LONGEST {
            return Err(not_a_url());
        }
        let url = Url::parse(text.trim()).map_err(|_| not_a_url())?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(not_a_url());
        }
        let host = url
            .host_str()
            .filter(|h| !h.is_empty())
            .ok_or_else(not_a_url)?;
        let scheme = match url.scheme() {
            "https" => "https",
            "http" if is_loopback(&url) => "http",
            "http" => return Err(InvalidAuthority::Insecure(host.to_owned())),
            _ => return Err(not_a_url()),
        };
        let path = url.path().trim_matches('/');
        let path = match path.strip_suffix("v2.0") {
            Some(rest) if rest.is_empty() || rest.ends_with('/') => rest,
            _ => path,
        };
        Ok(Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port: url.port(),
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The path, if it has at most one segment: `Some("")` for none.
    pub(super) fn first_or_no_segment(&self) -> Option<&str> {
        (!self.path.contains('/')).then_some(self.path.as_str())
    }

    /// The path, if it is exactly one segment.
    pub(super) fn only_segment(&self) -> Option<&str> {
        self.first_or_no_segment().filter(|path| !path.is_empty())
    }

    /// The URL up to the last segment, and that segment.
    pub(super) fn split_last_segment(&self) -> Option<(String, &str)> {
        let (path, last) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let parent = Self {
            path: path.to_owned(),
            ..self.clone()
        };
        (!last.is_empty()).then(|| (parent.to_string(), last))
    }

    /// Whether an application that says `other` means this: same host; same path, or as much of it
    /// as Microsoft's runtime leaves. That runtime drops ports and makes every name https, so
    /// neither counts.
    pub(super) fn means(&self, other: &Self) -> bool {
        self.host == other.host
            && (self.path.eq_ignore_ascii_case(&other.path)
                || other.first_or_no_segment().is_some_and(|segment| {
                    let first = self.path.split('/').next().unwrap_or_default();
                    segment.eq_ignore_ascii_case(first)
                }))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// The URL without trailing slash, `/v2.0`, query and fragment.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        if !self.path.is_empty() {
            write!(f, "/{}", self.path)?;
        }
        Ok(())
    }
}
