//! Texts of strangers, made fit to be shown: nothing in them hides, or turns what follows around.

/// The longest text of a stranger's that is shown.
const LONGEST: usize = 300;

/// The characters of a text as they may be shown, and no more than a person would read.
pub(crate) fn characters(text: &str) -> impl Iterator<Item = char> {
    let more = text.chars().nth(LONGEST).map(|_| '…');
    let shown = text.chars().take(LONGEST);
    shown
        .map(|character| {
            if is_hidden(character) {
                '\u{fffd}'
            } else {
                character
            }
        })
        .chain(more)
}

/// Control characters, and those that show nothing or turn the direction of writing.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hides_and_nothing_is_endless() {
        let shown: String = characters("a\u{1b}[2J\u{202e}b\n\u{200b}").collect();
        assert_eq!(shown, "a\u{fffd}[2J\u{fffd}b\u{fffd}\u{fffd}");
        let long: String = characters(&"x".repeat(5000)).collect();
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }
}
