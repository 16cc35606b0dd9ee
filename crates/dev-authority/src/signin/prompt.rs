//! The `prompt` parameter (OpenID Connect Core §3.1.2.1; `create` is Initiating User
//! Registration 1.0).

/// What the client wants the person to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Prompt(Vec<PromptValue>);

/// One value of the parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PromptValue {
    /// Nothing at all.
    None,
    /// The password, even if somebody is signed in.
    Login,
    /// The account picker.
    SelectAccount,
    /// The consent page, even if consent was given.
    Consent,
    /// The page that makes an account.
    Create,
}

impl Prompt {
    /// Reads the parameter.
    ///
    /// # Errors
    ///
    /// When a value is unknown, or `none` is not alone.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidPrompt> {
        let values: Result<Vec<_>, _> = text
            .split_ascii_whitespace()
            .map(PromptValue::parse)
            .collect();
        match values? {
            values if values.len() > 1 && values.contains(&PromptValue::None) => Err(InvalidPrompt),
            values => Ok(Self(values)),
        }
    }

    /// Whether the parameter has this value.
    pub(crate) fn has(&self, value: PromptValue) -> bool {
        self.0.contains(&value)
    }

    /// Adds a value: the person asked for it.
    pub(crate) fn add(&mut self, value: PromptValue) {
        self.0.push(value);
    }
}

impl PromptValue {
    fn parse(text: &str) -> Result<Self, InvalidPrompt> {
        match text {
            "none" => Ok(Self::None),
            "login" => Ok(Self::Login),
            "select_account" => Ok(Self::SelectAccount),
            "consent" => Ok(Self::Consent),
            "create" => Ok(Self::Create),
            _ => Err(InvalidPrompt),
        }
    }
}

/// A prompt that cannot be honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidPrompt;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_add_up_and_none_stands_alone() {
        let both = Prompt::parse("login consent").unwrap();
        assert!(both.has(PromptValue::Login) && both.has(PromptValue::Consent));
        assert!(!both.has(PromptValue::None));
        assert!(Prompt::parse("none").unwrap().has(PromptValue::None));
        assert_eq!(Prompt::parse(""), Ok(Prompt::default()));
        for bad in ["none login", "attempt_none", "LOGIN"] {
            assert_eq!(Prompt::parse(bad), Err(InvalidPrompt), "{bad}");
        }
    }
}
