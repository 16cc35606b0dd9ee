//! What a broker says about itself, and lists of accounts.

use keyward_client::account::AccountInfo;
use keyward_client::binding::{Binding, KeyProtection};
use keyward_client::ports::{AccountStatus, BrokerStatus};

use super::WireError;
use super::dict::{Dict, Entries};
use super::result::{known, read_account, write_account};

pub(crate) fn write(status: &BrokerStatus) -> Entries<'_> {
    let mut entries = Entries::new();
    entries
        .text("version", &status.version)
        .text("form", &status.form)
        .maybe_text(
            "key_protection",
            status.key_protection.map(KeyProtection::as_str),
        )
        .texts("hardening", status.hardening.iter().map(String::as_str))
        .texts("problems", status.problems.iter().map(String::as_str))
        .maybe_text("outdated", status.outdated.as_deref())
        .dicts("accounts", status.accounts.iter().map(write_one).collect());
    entries
}

pub(crate) fn read(dict: &Dict<'_>) -> Result<BrokerStatus, WireError> {
    let key_protection = match dict.text("key_protection")? {
        None => None,
        Some(_) => Some(known(dict, "key_protection", KeyProtection::parse)?),
    };
    Ok(BrokerStatus {
        version: dict.require_text("version")?.to_owned(),
        form: dict.require_text("form")?.to_owned(),
        key_protection,
        accounts: dict
            .dicts("accounts")?
            .iter()
            .map(read_one)
            .collect::<Result<_, _>>()?,
        hardening: texts(dict, "hardening")?,
        problems: texts(dict, "problems")?,
        outdated: dict.owned_text("outdated")?,
    })
}

fn texts(dict: &Dict<'_>, name: &'static str) -> Result<Vec<String>, WireError> {
    let texts = dict.texts(name)?.into_iter();
    Ok(texts.map(str::to_owned).collect())
}

pub(crate) fn write_accounts(accounts: &[AccountInfo]) -> Entries<'_> {
    let mut entries = Entries::new();
    let list = accounts
        .iter()
        .map(|account| {
            let mut entries = Entries::new();
            write_account(account, &mut entries);
            entries
        })
        .collect();
    entries.dicts("accounts", list);
    entries
}

pub(crate) fn read_accounts(dict: &Dict<'_>) -> Result<Vec<AccountInfo>, WireError> {
    dict.dicts("accounts")?.iter().map(read_account).collect()
}

fn write_one(status: &AccountStatus) -> Entries<'_> {
    let mut entries = Entries::new();
    write_account(&status.account, &mut entries);
    entries
        .text("authority", &status.authority)
        .text("binding", status.binding.as_str())
        .text("key_protection", status.key_protection.as_str());
    entries
}

fn read_one(dict: &Dict<'_>) -> Result<AccountStatus, WireError> {
    Ok(AccountStatus {
        account: read_account(dict)?,
        binding: known(dict, "binding", Binding::parse)?,
        key_protection: known(dict, "key_protection", KeyProtection::parse)?,
        authority: dict.require_text("authority")?.to_owned(),
    })
}
