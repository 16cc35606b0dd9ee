//! Which resource an Entra scope belongs to, and which scopes an answer repeats.

use keyward_oauth::scope::Scopes;

/// Microsoft Graph, which bare scope names belong to.
const GRAPH: &str = "00000003-0000-0000-c000-000000000000";

/// Its other name, in scopes that spell it out.
const GRAPH_URL: &str = "https://graph.microsoft.com";

/// Whether an audience is Microsoft Graph, under either name.
pub(crate) fn is_graph(audience: &str) -> bool {
    [GRAPH, GRAPH_URL].contains(&audience)
}

/// `aud` of an access token for these scopes: the resource of the first one that names one.
pub(crate) fn audience(scopes: &Scopes) -> String {
    let resource = scopes.without_oidc();
    let named = resource.iter().find_map(resource_of);
    named.unwrap_or(GRAPH).to_owned()
}

/// `https://graph.microsoft.com/User.Read`, `api://GUID/x`, `GUID/.default`: all but the last
/// segment. A bare name has none.
fn resource_of(scope: &str) -> Option<&str> {
    let (resource, _) = scope.rsplit_once('/')?;
    let resource = resource.trim_end_matches('/');
    (!resource.is_empty() && !resource.ends_with(':')).then_some(resource)
}

/// The value of `scope` in an answer: what was asked for, without `offline_access`.
pub(crate) fn granted(scopes: &Scopes) -> String {
    let granted: Scopes = scopes
        .iter()
        .filter(|scope| !scope.eq_ignore_ascii_case("offline_access"))
        .collect();
    granted.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audience_is_the_resource_of_the_first_scope_that_has_one() {
        let audience = |scopes| audience(&Scopes::parse(scopes));
        assert_eq!(audience("openid profile"), GRAPH);
        assert_eq!(audience("openid User.Read"), GRAPH);
        assert_eq!(
            audience("openid https://graph.microsoft.com/User.Read"),
            "https://graph.microsoft.com"
        );
        assert_eq!(
            audience("https://graph.microsoft.com//.default"),
            "https://graph.microsoft.com"
        );
        assert_eq!(audience("api://app-1/access"), "api://app-1");
    }

    #[test]
    fn the_answer_repeats_what_was_asked_for() {
        assert_eq!(
            granted(&Scopes::parse("openid User.Read offline_access")),
            "openid User.Read"
        );
    }
}
