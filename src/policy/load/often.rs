//! What may be written very often in one file: the first places are reported, and how many follow.

use crate::policy::place::Place;
use crate::policy::section::At;

/// Where something is written.
#[derive(Debug)]
pub(super) struct Often<T> {
    /// The first ones.
    first: Vec<At<T>>,
    /// How many there are beyond them.
    others: usize,
}

impl<T> Often<T> {
    /// Notes one more. Its value and its place are asked for only where they are kept.
    pub(super) fn add(&mut self, value: impl FnOnce() -> T, place: impl FnOnce() -> Place) {
        if self.first.len() < MOST_PLACES {
            self.first.push(At { value: value(), place: place() });
        } else {
            self.others += 1;
        }
    }

    /// The ones to report; with the last of them, how many others there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&At<T>, usize)> {
        let others = |at: usize| if at + 1 == self.first.len() { self.others } else { 0 };
        self.first.iter().enumerate().map(move |(at, one)| (one, others(at)))
    }
}

impl<T> Default for Often<T> {
    fn default() -> Self {
        Self { first: Vec::new(), others: 0 }
    }
}

/// Nobody reads more of one kind.
const MOST_PLACES: usize = 100;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::place::Source;

    #[test]
    fn the_last_one_that_is_kept_tells_of_the_others() {
        let source = Arc::new(Source::new("keys.toml", ""));
        let mut often = Often::default();
        for at in 0..MOST_PLACES + 3 {
            often.add(|| at, || Place { source: source.clone(), span: at..at });
        }
        let found: Vec<_> = often.iter().map(|(one, others)| (one.value, others)).collect();
        assert_eq!(found.len(), MOST_PLACES);
        assert_eq!(found.first(), Some(&(0, 0)));
        assert_eq!(found.last(), Some(&(MOST_PLACES - 1, 3)));
    }
}
