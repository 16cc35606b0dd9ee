//! The configuration file of a stack.

use std::fs;

use serde_json::json;

use super::{Stack, Tenant};

impl Stack {
    /// Writes the configuration file.
    pub fn configure(&self) {
        let browser = self.browser.program().display().to_string();
        let user_agent = format!("[user_agent]\ncommand = [{browser:?}, \"{{url}}\"]\n");
        self.configure_part(&user_agent);
    }

    /// Writes the configuration file, and no browser in it.
    pub fn configure_no_browser(&self) {
        self.configure_part("");
    }

    fn configure_part(&self, user_agent: &str) {
        let mut text = format!(
            "{}log = {:?}\n\n{user_agent}\n{}",
            self.keys, self.log, self.more_configuration,
        );
        for tenant in [Tenant::Oidc, Tenant::Entra] {
            text += &self.authority_section(tenant);
        }
        self.write_configuration(&text);
    }

    /// Lets the broker's processes log everything; for those started from now on.
    pub fn log_everything(&mut self) {
        self.log = "trace";
        self.configure();
    }

    /// Writes the configuration file with more in it.
    pub fn configure_with(&mut self, more: &str) {
        more.clone_into(&mut self.more_configuration);
        self.configure();
    }

    /// Writes this text as the configuration file.
    pub fn write_configuration(&self, text: &str) {
        let file = self.configuration_file();
        let made = file.parent().map(fs::create_dir_all);
        made.expect("it is in a folder")
            .expect("a folder can be made");
        fs::write(file, text).expect("the configuration can be written");
    }

    /// What `keyward-dev session` tells its keywardd: these names are this tenant.
    pub(crate) fn well_known_names(&self) -> String {
        let guid = self.authority.tenant(self.tenant);
        let segments = ["common", "organizations", &guid];
        let names = segments.map(|segment| format!("https://login.microsoftonline.com/{segment}"));
        let localhost = self.localhost_authority(self.tenant);
        let names = [&names[..], &[localhost]].concat();
        let issuer = self.authority.issuer(self.tenant);
        let entra = self.tenant == Tenant::Entra;
        json!([{"match": names, "issuer": issuer, "entra": entra}]).to_string()
    }

    fn authority_section(&self, tenant: Tenant) -> String {
        let (kind, verify) = match tenant {
            Tenant::Oidc => ("oidc", "verify_binding = true\n"),
            Tenant::Entra => ("entra", ""),
        };
        format!(
            "\n[[authority]]\nmatch = [{:?}]\nissuer = {:?}\nkind = \"{kind}\"\n{verify}",
            self.localhost_authority(tenant),
            self.authority.issuer(tenant),
        )
    }
}
