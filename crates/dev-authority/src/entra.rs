//! The Entra-shaped tenant (`device-binding.md` 4 describes the original).

pub(crate) mod aadsts;
pub(crate) mod authorize;
pub(crate) mod devicecode;
pub(crate) mod instance;
pub(crate) mod metadata;
pub(crate) mod pop;
pub(crate) mod redeem;
pub(crate) mod resource;
pub(crate) mod token;

/// Clients whose refresh tokens are good for one another (`foci`): Microsoft's own first-party
/// family. Others join it by asking for [`FAMILY_SCOPE`].
const FAMILY_CLIENTS: [&str; 8] = [
    "04b07795-8ddb-461a-bbee-02f9e1bf7b46", // Azure CLI
    "1950a258-227b-4e31-a9cf-717495945fc2", // Azure PowerShell
    "1fec8e78-bce4-4aaf-ab1b-5451cc387264", // Teams
    "29d9ed98-a469-4536-ade2-f981bc1d605e", // Authentication Broker
    "4813382a-8fa7-425e-ab75-3b753aab3abb", // Authenticator
    "aebc6443-996d-45c2-90f0-388ff96faa56", // Visual Studio Code
    "d3590ed6-52b3-4102-aeff-aad2292ab01c", // Office
    "d7b530a4-7680-4c23-a8bf-c52c121d2e87", // Edge
];

/// Asking for this scope makes any client one of the family, for tests.
pub(crate) const FAMILY_SCOPE: &str = "urn:keyward:foci";

/// Whether a client is one of the family.
pub(crate) fn is_family_client(client_id: &str, scopes: &keyward_oauth::scope::Scopes) -> bool {
    FAMILY_CLIENTS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(client_id))
        || scopes.contains(FAMILY_SCOPE)
}
