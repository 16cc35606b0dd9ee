//! Patterns of rules: `*`, `**` and `?` in otherwise literal text.

/// A pattern, ready to be compared.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    fold: Fold,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Character(char),
    /// `?`: one character.
    One,
    /// `*`: any characters; none of them a `/` where paths are compared.
    Any,
    /// `**`: any characters.
    AnyAtAll,
}

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    /// As paths: `*` stays within a folder.
    Path,
    /// Character by character.
    Exact,
    /// The same, without a difference between upper and lower case.
    Case,
}

impl Pattern {
    pub(super) fn new(text: &str, fold: Fold) -> Self {
        let mut parts = Vec::new();
        for character in text.chars() {
            let part = match (character, parts.last()) {
                ('*', Some(Part::Any)) => {
                    parts.pop();
                    Part::AnyAtAll
                }
                ('*', Some(Part::AnyAtAll)) => continue,
                ('*', _) if fold == Fold::Path => Part::Any,
                ('*', _) => Part::AnyAtAll,
                ('?', _) => Part::One,
                (character, _) => Part::Character(folded(character, fold)),
            };
            parts.push(part);
        }
        Self { parts, fold }
    }

    /// Whether all of a text fits. Takes time in proportion to both lengths, whatever they are: one
    /// of them is a stranger's.
    pub(super) fn fits(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().map(|c| folded(c, self.fold)).collect();
        // Whether the parts so far fit the text up to each place.
        let mut fits = vec![false; text.len() + 1];
        fits[0] = true;
        for part in &self.parts {
            let mut next = vec![false; text.len() + 1];
            for place in 0..=text.len() {
                let before = place.checked_sub(1);
                let last = before.map(|before| text[before]);
                next[place] = match part {
                    Part::Character(wanted) => {
                        last == Some(*wanted) && before.is_some_and(|before| fits[before])
                    }
                    Part::One => before.is_some_and(|before| fits[before]),
                    Part::AnyAtAll => fits[place] || before.is_some_and(|before| next[before]),
                    Part::Any => {
                        let goes_on = last != Some('/');
                        fits[place] || (goes_on && before.is_some_and(|before| next[before]))
                    }
                };
            }
            fits = next;
        }
        fits[text.len()]
    }
}

fn folded(character: char, fold: Fold) -> char {
    match fold {
        Fold::Case => character.to_lowercase().next().unwrap_or(character),
        Fold::Path | Fold::Exact => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, fold: Fold, text: &str) -> bool {
        Pattern::new(pattern, fold).fits(text)
    }

    #[test]
    fn a_star_in_a_path_stays_in_its_folder_and_two_do_not() {
        for (pattern, path, expected) in [
            ("/usr/bin/node", "/usr/bin/node", true),
            ("/usr/bin/node", "/usr/bin/node2", false),
            ("/usr/bin/*", "/usr/bin/node", true),
            ("/usr/bin/*", "/usr/bin/", true),
            ("/usr/bin/*", "/usr/bin/a/node", false),
            ("/opt/**", "/opt/a/b/c", true),
            ("/opt/**/tool", "/opt/a/b/tool", true),
            ("/opt/**/tool", "/opt/a/b/tools", false),
            ("/opt/*/tool", "/opt/a/b/tool", false),
            ("**/tool", "/a/tool", true),
            ("/opt/v?/x", "/opt/v1/x", true),
            ("/opt/v?/x", "/opt/v/x", false),
            ("/***", "/a/b", true),
        ] {
            assert_eq!(
                fits(pattern, Fold::Path, path),
                expected,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn other_texts_have_no_folders() {
        assert!(fits("https://graph/*", Fold::Exact, "https://graph/a/b"));
        assert!(!fits("Mail.*", Fold::Exact, "mail.read"));
        assert!(fits("*@Contoso.example", Fold::Case, "Ä@contoso.EXAMPLE"));
        assert!(!fits(
            "*@contoso.example",
            Fold::Case,
            "a@contoso.example.evil"
        ));
        assert!(fits("", Fold::Exact, ""));
        assert!(!fits("", Fold::Exact, "a"));
    }

    #[test]
    fn many_stars_cost_no_more_than_one() {
        let pattern = "*a".repeat(100);
        let text = "a".repeat(99) + "b";
        assert!(!fits(&pattern, Fold::Exact, &text.repeat(40)));
    }
}
