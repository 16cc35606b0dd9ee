//! When a rotated token counts as stolen.

/// How far a family has come: which token was used last.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Line {
    /// The generation of the token used last, and the token. The first token is generation 1.
    used: Option<(u32, usize)>,
}

/// What using a token means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is good; its successor has this generation.
    Rotate { next: u32 },
    /// It was rotated away.
    Reuse,
}

impl Line {
    /// Uses the token number `token`, which is of this generation.
    pub(crate) fn use_token(&mut self, token: usize, generation: u32) -> Verdict {
        let good = match self.used {
            None => true,
            // A successor, unused so far.
            Some((last, _)) if generation > last => true,
            // The token used last, again: no successor of it was used.
            Some((last, same)) => generation == last && token == same,
        };
        if !good {
            return Verdict::Reuse;
        }
        self.used = Some((generation, token));
        Verdict::Rotate {
            next: generation.saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_follow_one_another() {
        let mut line = Line::default();
        assert_eq!(line.use_token(10, 1), Verdict::Rotate { next: 2 });
        assert_eq!(line.use_token(11, 2), Verdict::Rotate { next: 3 });
        assert_eq!(line.use_token(10, 1), Verdict::Reuse);
    }

    #[test]
    fn the_last_one_may_be_used_again_until_a_successor_was_used() {
        let mut line = Line::default();
        line.use_token(10, 1);
        for _ in 0..3 {
            assert_eq!(line.use_token(10, 1), Verdict::Rotate { next: 2 });
        }
        assert_eq!(line.use_token(13, 2), Verdict::Rotate { next: 3 });
        assert_eq!(line.use_token(10, 1), Verdict::Reuse);
    }

    #[test]
    fn a_superseded_sibling_is_not_good() {
        let mut line = Line::default();
        line.use_token(10, 1); // handed out 11, which was lost
        line.use_token(10, 1); // handed out 12
        assert_eq!(line.use_token(12, 2), Verdict::Rotate { next: 3 });
        assert_eq!(line.use_token(11, 2), Verdict::Reuse);
    }
}
