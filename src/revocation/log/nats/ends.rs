//! Whether the stream still reaches our place.

use std::mem;

use crate::core::clock::{Clock, Moment};

/// Where the stream ends, by the leader's answers, held against our place.
pub(super) struct Ends {
    /// Our place when the last answer came. The next question is put after that.
    before: u64,
    /// A place that an answer did not reach, and when that was noticed.
    doubt: Option<(Moment, u64)>,
    clock: Clock,
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The stream reached our place as of the question. We may have moved on while it was answered.
    AsFarAsWe,
    Doubtful,
    /// The stream was put back: an answer to a later question says so of an earlier place.
    BeforeUs,
}

impl Ends {
    pub(super) const fn new(place: u64, clock: Clock) -> Self {
        Self {
            before: place,
            doubt: None,
            clock,
        }
    }

    pub(super) fn judge(&mut self, place: u64, last: u64, asked: Moment) -> End {
        let before = mem::replace(&mut self.before, place);
        if last >= before {
            self.doubt = None;
            return End::AsFarAsWe;
        }
        match self.doubt {
            Some((noticed, _)) if !asked.is_after(noticed) => End::Doubtful,
            Some((_, earlier)) if last < earlier => End::BeforeUs,
            _ => {
                self.doubt = Some((self.clock.moment(), place));
                End::Doubtful
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::clock::UnixMillis;

    #[test]
    fn an_answer_is_held_against_the_place_at_its_question() {
        let second = Duration::from_secs(1);
        let clock = Clock::manual(UnixMillis::default());
        let mut ends = Ends::new(100, clock.clone());
        let first = clock.moment();
        // The next message after each answer moves us on, as on a busy stream.
        assert_eq!(ends.judge(150, 120, first), End::AsFarAsWe);
        assert_eq!(ends.judge(210, 160, first), End::AsFarAsWe);
        clock.advance(second);
        assert_eq!(ends.judge(210, 190, first), End::Doubtful, "it had 210");
        assert_eq!(ends.judge(220, 190, first), End::Doubtful, "asked before");
        clock.advance(second);
        let later = clock.moment();
        assert_eq!(ends.judge(250, 215, later), End::Doubtful, "it had 210");
        assert_eq!(ends.judge(250, 250, later), End::AsFarAsWe, "a slow leader");
        assert_eq!(ends.judge(250, 240, later), End::Doubtful);
        clock.advance(second);
        assert_eq!(ends.judge(250, 240, clock.moment()), End::BeforeUs);
    }
}
