//! `[[authority]]`: which authorities may be used besides the well-known ones, and how.

use std::fmt;

use url::{Host, Url};

use crate::Permit;
use crate::explain::Explanation;
use crate::key::{self, Raw};
use crate::origin::Origin;
use crate::settings::unknown_key;

/// Hosts of Microsoft's sign-in service, which need no configuration and cannot be mapped
/// elsewhere.
pub const WELL_KNOWN_HOSTS: &[&str] = &[
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoft.com",
    "sts.windows.net",
    "login.partner.microsoftonline.cn",
    "login.chinacloudapi.cn",
    "login.microsoftonline.us",
    "login.usgovcloudapi.net",
    "login-us.microsoftonline.com",
    "login.microsoftonline.de",
    "login.sovcloud-identity.fr",
    "login.sovcloud-identity.de",
    "login.sovcloud-identity.sg",
];

/// A configured authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Authority URLs of applications that mean this one. Microsoft's runtime keeps only host and
    /// first path segment of what an application says.
    pub matches: Vec<String>,
    /// The issuer, exactly as its metadata spells it.
    pub issuer: String,
    /// Which dialect it speaks.
    pub kind: AuthorityKind,
    /// Whether refresh tokens are bound by DPoP.
    pub dpop: DpopUse,
    /// Whether a new sign-in is followed by proof that the binding holds. Only for authorities that
    /// do not revoke a grant because a proof was wrong.
    pub verify_binding: bool,
    /// Where it was configured.
    pub origin: Origin,
}

/// An authority as a program states it, with what is left to the defaults as `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityEntry {
    /// As [`Authority::matches`].
    pub matches: Vec<String>,
    /// As [`Authority::issuer`].
    pub issuer: String,
    /// As [`Authority::kind`].
    pub kind: AuthorityKind,
    /// As [`Authority::dpop`].
    pub dpop: Option<DpopUse>,
    /// As [`Authority::verify_binding`].
    pub verify_binding: Option<bool>,
}

/// Which dialect an authority speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthorityKind {
    /// Microsoft Entra ID.
    Entra,
    /// OpenID Connect as the standard has it.
    #[default]
    Oidc,
}

/// Whether refresh tokens are bound by DPoP (RFC 9449). Greater is stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DpopUse {
    /// Never.
    Off,
    /// When the authority's metadata offers it.
    #[default]
    Auto,
    /// Always; an authority that does not offer it cannot be used.
    Required,
}

impl AuthorityKind {
    const ALL: &[Self] = &[Self::Entra, Self::Oidc];
}

impl DpopUse {
    const ALL: &[Self] = &[Self::Auto, Self::Required, Self::Off];
}

impl fmt::Display for AuthorityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Entra => "entra",
            Self::Oidc => "oidc",
        })
    }
}

impl fmt::Display for DpopUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Required => "required",
        })
    }
}

/// What one layer states about an authority; the rest is inherited or defaulted.
#[derive(Default)]
pub(crate) struct Stated {
    matches: Vec<String>,
    issuer: Option<String>,
    kind: Option<AuthorityKind>,
    dpop: Option<DpopUse>,
    verify_binding: Option<bool>,
}

const FIELDS: [&str; 5] = ["match", "issuer", "kind", "dpop", "verify_binding"];

impl Stated {
    pub(crate) fn of_entry(entry: &AuthorityEntry) -> Self {
        Self {
            matches: entry.matches.clone(),
            issuer: Some(entry.issuer.clone()),
            kind: Some(entry.kind),
            dpop: entry.dpop,
            verify_binding: entry.verify_binding,
        }
    }

    /// Reads one key of a table.
    pub(crate) fn read(&mut self, name: &str, raw: &Raw<'_>) -> Result<(), String> {
        let read = match name {
            "match" => raw.texts().map(|matches| self.matches = matches),
            "issuer" => raw.text().map(|text| self.issuer = Some(text.to_owned())),
            "kind" => raw
                .one_of(AuthorityKind::ALL)
                .map(|kind| self.kind = Some(kind)),
            "dpop" => raw.one_of(DpopUse::ALL).map(|dpop| self.dpop = Some(dpop)),
            "verify_binding" => raw
                .boolean()
                .map(|verify| self.verify_binding = Some(verify)),
            unknown => return Err(unknown_key(unknown, FIELDS)),
        };
        read.map_err(|message| format!("`{name}` {message}"))
    }

    /// Each `match` in the form that compares. Fails also when the issuer cannot be one.
    fn names(&self, permit: Permit) -> Result<Vec<Name>, String> {
        if let Some(issuer) = &self.issuer {
            Name::of_issuer(issuer)?;
        }
        let matches = self.matches.iter();
        matches.map(|text| Name::of_match(text, permit)).collect()
    }
}

/// Adds what `origin` states to the authorities of earlier layers.
///
/// # Errors
///
/// When a value cannot be used, when two entries of one layer speak of the same authority, or when
/// an entry loosens what the administrator's file says about one.
pub(crate) fn merge(
    authorities: &mut Vec<Authority>,
    stated: Stated,
    origin: &Origin,
    permit: Permit,
) -> Result<(), String> {
    let names = stated.names(permit)?;
    let mut spoken_of = authorities
        .iter_mut()
        .filter(|earlier| earlier.is_named_by(&names, stated.issuer.as_deref()));
    let Some(earlier) = spoken_of.next() else {
        drop(spoken_of);
        authorities.push(Authority::new(stated, origin)?);
        return Ok(());
    };
    if let Some(other) = spoken_of.next() {
        return Err(format!(
            "names two authorities, the one of {} and the one of {}: give each its own entry",
            earlier.origin, other.origin
        ));
    }
    if earlier.origin.same_layer(origin) {
        return Err(format!(
            "names the authority that {} already configures: merge the two entries",
            earlier.origin
        ));
    }
    if earlier.origin.is_administrator() {
        earlier.tighten(stated)
    } else {
        *earlier = Authority::new(stated.over(earlier), origin)?;
        Ok(())
    }
}

impl Authority {
    fn new(stated: Stated, origin: &Origin) -> Result<Self, String> {
        let issuer = stated.issuer.ok_or(
            "`issuer` is missing: write the issuer exactly as the authority's metadata spells it",
        )?;
        Ok(Self {
            matches: stated.matches,
            issuer,
            kind: stated.kind.unwrap_or_default(),
            dpop: stated.dpop.unwrap_or_default(),
            verify_binding: stated.verify_binding.unwrap_or(false),
            origin: origin.clone(),
        })
    }

    /// Whether an entry with these matches and this issuer speaks of this authority. No name by
    /// which applications reach what the administrator configured may be caught by somebody else's
    /// `match`.
    fn is_named_by(&self, names: &[Name], issuer: Option<&str>) -> bool {
        if issuer == Some(self.issuer.as_str()) {
            return true;
        }
        let protected = self.origin.is_administrator();
        let own_matches = self.matches.iter();
        let own_issuer = protected.then_some(&self.issuer);
        let own_names: Vec<Name> = own_matches
            .chain(own_issuer)
            .filter_map(|text| Name::parse(text).ok())
            .collect();
        names.iter().any(|name| {
            own_names
                .iter()
                .any(|own| own == name || (protected && own.overlaps(name)))
        })
    }

    /// Takes what is stricter, refuses what is not.
    fn tighten(&mut self, stated: Stated) -> Result<(), String> {
        let loosens = |what: &str, from: &dyn fmt::Display, to: &dyn fmt::Display| {
            Err(format!(
                "`{what}` \"{to}\" would loosen \"{from}\", which {} sets; only stricter values \
                 are taken",
                self.origin
            ))
        };
        match (&stated.issuer, stated.kind) {
            (Some(issuer), _) if *issuer != self.issuer => {
                return loosens("issuer", &self.issuer, issuer);
            }
            (_, Some(kind)) if kind != self.kind => return loosens("kind", &self.kind, &kind),
            _ => {}
        }
        let dpop = stated.dpop.unwrap_or(self.dpop);
        if dpop < self.dpop {
            return loosens("dpop", &self.dpop, &dpop);
        }
        let verify_binding = stated.verify_binding.unwrap_or(self.verify_binding);
        if !verify_binding && self.verify_binding {
            return loosens("verify_binding", &true, &false);
        }
        self.dpop = dpop;
        self.verify_binding = verify_binding;
        for text in stated.matches {
            if !self.matches.contains(&text) {
                self.matches.push(text);
            }
        }
        Ok(())
    }
}

impl Stated {
    /// With what it leaves open taken from an earlier, weaker layer.
    fn over(self, earlier: &Authority) -> Self {
        Self {
            matches: if self.matches.is_empty() {
                earlier.matches.clone()
            } else {
                self.matches
            },
            issuer: self.issuer.or_else(|| Some(earlier.issuer.clone())),
            kind: self.kind.or(Some(earlier.kind)),
            dpop: self.dpop.or(Some(earlier.dpop)),
            verify_binding: self.verify_binding.or(Some(earlier.verify_binding)),
        }
    }
}

/// A URL by which applications name an authority, in the form that compares: no port, no trailing
/// slash, no `/v2.0`, no difference in case.
#[derive(PartialEq, Eq)]
struct Name {
    host: String,
    path: String,
}

impl Name {
    fn of_match(text: &str, permit: Permit) -> Result<Self, String> {
        let name = Self::parse(text).map_err(|why| format!("`match` \"{text}\" {why}"))?;
        if permit != Permit::WellKnownHosts && WELL_KNOWN_HOSTS.contains(&name.host.as_str()) {
            return Err(format!(
                "`match` \"{text}\" is on a host of Microsoft's, which cannot be mapped to another \
                 authority"
            ));
        }
        Ok(name)
    }

    fn of_issuer(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|why| format!("`issuer` \"{text}\" {why}"))
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "is not a URL")?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => return Err("is plain http, which only loopback addresses may be"),
            _ => return Err("is not an https URL"),
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err("may not have a query, a fragment or a user name");
        }
        let path = url.path().trim_matches('/').to_ascii_lowercase();
        let path = match path.strip_suffix("v2.0") {
            Some(rest) if rest.is_empty() || rest.ends_with('/') => rest.trim_end_matches('/'),
            _ => &path,
        };
        Ok(Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            path: path.to_owned(),
        })
    }

    /// Whether some application could mean both: Microsoft's runtime cuts what it says to host and
    /// first segment.
    fn overlaps(&self, other: &Self) -> bool {
        let cut = |path: &str| path.split('/').next().unwrap_or_default().to_owned();
        let is_cut = |path: &str| !path.contains('/');
        self.host == other.host
            && (self.path == other.path
                || (is_cut(&self.path) || is_cut(&other.path))
                    && cut(&self.path) == cut(&other.path))
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The rows `keyward config check` shows for one authority.
pub(crate) fn explain(index: usize, authority: &Authority) -> Vec<Explanation> {
    let text = |value: &dyn fmt::Display| toml::Value::String(value.to_string()).to_string();
    let row = |field: &str, value: String, doc: &str| Explanation {
        key: format!("authority[{index}].{field}"),
        value,
        origin: authority.origin.clone(),
        variable: None,
        doc: doc.to_owned(),
    };
    vec![
        row(
            "match",
            key::list(&authority.matches),
            "Authority URLs of applications that mean this authority.",
        ),
        row(
            "issuer",
            text(&authority.issuer),
            "The issuer, exactly as the authority's metadata spells it.",
        ),
        row(
            "kind",
            text(&authority.kind),
            "Which dialect it speaks: \"entra\" or \"oidc\".",
        ),
        row(
            "dpop",
            text(&authority.dpop),
            "Whether refresh tokens are bound to this device by DPoP.",
        ),
        row(
            "verify_binding",
            authority.verify_binding.to_string(),
            "Whether a new sign-in is followed by proof that the binding holds.",
        ),
    ]
}
