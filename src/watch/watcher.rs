//! Decides, from one look to the next, when a change may be taken.
//!
//! It reads nothing and knows no time but what it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(test)]
use super::disk::Disk;
use super::disk::{Content, Digest, Taken, Trouble};

/// What one look found of a file.
#[derive(Clone, Eq, PartialEq)]
enum Found {
    Content(Digest),
    Trouble(Trouble),
}

type Look = BTreeMap<PathBuf, Found>;

/// The files that are watched, what is in force of them, and what was seen last.
pub(crate) struct Watcher {
    /// How long files must have been alike.
    settle: Duration,
    watched: BTreeSet<PathBuf>,
    /// What the policy in force was read from.
    in_force: Look,
    /// What was handed on last and is not in force: it is not handed on twice.
    offered: Option<Look>,
    /// What differs from all that, since when.
    candidate: Option<(Look, Duration)>,
    /// Since when no two looks were alike; `None` once that was said.
    unsettled: Option<Duration>,
    restless_said: bool,
    seen: BTreeMap<PathBuf, (Found, Option<Duration>)>,
    /// Changes with `in_force`: what was read before is then out of date.
    generation: u64,
}

/// Which files to read for one look.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    generation: u64,
    pub(crate) paths: BTreeSet<PathBuf>,
}

/// What follows from a look.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All is as it was, or was handed on before.
    Quiet,
    /// Something changed: look again when the time to settle has passed.
    Unsettled {
        /// The files have been changing for so long that it should be said. True once.
        restless: bool,
    },
    /// The files have settled: load them, and report to [`Watcher::settle`].
    Changed(Taken),
    /// After something that was refused, the files are again those in force.
    Restored,
}

/// What became of the files that were handed on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// They are in force, and these were read.
    InForce(BTreeSet<PathBuf>),
    /// They are refused, and these were read; what was in force stays in force.
    Refused(BTreeSet<PathBuf>),
    /// These are needed too: look at them, and hand on all files again.
    Also(BTreeSet<PathBuf>),
}

/// One file, as it was seen last.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    pub(crate) path: PathBuf,
    pub(crate) state: SeenState,
    /// When a look first found what is there now, by the time given to the looks; `None` where it
    /// is as it was when the gate opened.
    pub(crate) changed: Option<Duration>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum SeenState {
    /// The policy in force was read from what is there.
    InForce,
    /// There is something else: it was refused, or has not settled.
    Other,
    Trouble(Trouble),
}

impl Watcher {
    /// Watches the files that the policy in force was read from.
    pub(crate) fn new(in_force: &Taken, settle: Duration) -> Self {
        let mut watcher = Self {
            settle,
            watched: BTreeSet::new(),
            in_force: Look::new(),
            offered: None,
            candidate: None,
            unsettled: None,
            restless_said: false,
            seen: BTreeMap::new(),
            generation: 0,
        };
        watcher.begin(in_force, Next::InForce(in_force.paths()));
        watcher
    }

    /// Looks once.
    #[cfg(test)]
    pub(crate) fn look(&mut self, now: Duration, disk: &dyn Disk) -> Outcome {
        let round = self.round();
        let looked = Taken::read(&round.paths, disk);
        self.judge(now, &round, looked)
    }

    /// Which files to read now. They may be read while a reload goes on.
    pub(crate) fn round(&self) -> Round {
        Round { generation: self.generation, paths: self.watched.clone() }
    }

    /// Judges what was read for `round`. `now` is any time that does not go back.
    pub(crate) fn judge(&mut self, now: Duration, round: &Round, mut looked: Taken) -> Outcome {
        if round.generation != self.generation {
            return Outcome::Unsettled { restless: false };
        }
        let look = self.found(&mut looked);
        match self.judge_look(now, look) {
            Ok(outcome) => outcome,
            Err(look) => {
                self.calm();
                self.offered = Some(look);
                Outcome::Changed(looked)
            }
        }
    }

    /// Judges a look in which some files were not read, because they hold what they held: `unread` are
    /// the digests of that. `None` where files are to be handed on, which are to be read for it.
    pub(crate) fn judge_unread(
        &mut self,
        now: Duration,
        round: &Round,
        mut looked: Taken,
        unread: BTreeMap<PathBuf, Digest>,
    ) -> Option<Outcome> {
        if round.generation != self.generation {
            return Some(Outcome::Unsettled { restless: false });
        }
        let mut look = self.found(&mut looked);
        look.extend(unread.into_iter().map(|(path, digest)| (path, Found::Content(digest))));
        self.judge_look(now, look).ok()
    }

    /// What follows from a look; the look itself where its files are to be handed on.
    fn judge_look(&mut self, now: Duration, look: Look) -> Result<Outcome, Look> {
        self.note(now, &look);
        if self.is_in_force(&look) {
            self.watched = self.in_force.keys().cloned().collect();
            self.calm();
            return Ok(match self.offered.take() {
                Some(_) => Outcome::Restored,
                None => Outcome::Quiet,
            });
        }
        if self.offered.as_ref() == Some(&look) {
            self.calm();
            return Ok(Outcome::Quiet);
        }
        match &self.candidate {
            Some((candidate, since)) if *candidate == look => {
                if now.saturating_sub(*since) < self.settle {
                    return Ok(self.unsettled(now));
                }
                Err(look)
            }
            _ => {
                self.candidate = Some((look, now));
                Ok(self.unsettled(now))
            }
        }
    }

    /// What became of the files that [`Outcome::Changed`] handed on.
    pub(crate) fn settle(&mut self, next: Next) {
        self.generation += 1;
        let offered = self.offered.take().unwrap_or_default();
        match next {
            Next::InForce(read) => {
                self.in_force = keep(offered, &read);
                self.watched = self.in_force.keys().cloned().collect();
                self.seen.retain(|path, _| self.watched.contains(path));
            }
            // INVARIANT: a loader that wants what it already has would be asked for ever.
            Next::Also(more) if !more.is_subset(&self.watched) => self.watched.extend(more),
            Next::Refused(read) | Next::Also(read) => {
                self.watched = self.in_force.keys().chain(&read).cloned().collect();
                self.offered = Some(keep(offered, &self.watched));
                self.seen.retain(|path, _| self.watched.contains(path));
            }
        }
    }

    /// Files were loaded without a look of ours.
    pub(crate) fn reloaded(&mut self, now: Duration, read: &Taken, next: Next) {
        let look = self.found(&mut read.clone());
        self.note(now, &look);
        self.begin(read, next);
    }

    fn begin(&mut self, read: &Taken, next: Next) {
        self.calm();
        let found = |found: &Result<Content, Trouble>| match found {
            Ok(content) => Found::Content(content.digest()),
            Err(trouble) => Found::Trouble(trouble.clone()),
        };
        self.offered = Some(match next {
            Next::InForce(_) => read.0.iter().map(|(path, it)| (path.clone(), found(it))).collect(),
            // As the next look finds it, which is not to be said again: a load that is refused may
            // have ended before it read all files.
            Next::Refused(_) | Next::Also(_) => {
                let mut look = self.in_force.clone();
                look.extend(self.found(&mut read.clone()));
                look
            }
        });
        self.settle(next);
    }

    /// Every watched file, as it was seen last.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let state = |path: &Path| match self.seen.get(path) {
            None => (SeenState::InForce, None),
            Some((Found::Trouble(trouble), changed)) => {
                (SeenState::Trouble(trouble.clone()), *changed)
            }
            Some((found, changed)) if self.in_force.get(path) == Some(found) => {
                (SeenState::InForce, *changed)
            }
            Some((_, changed)) => (SeenState::Other, *changed),
        };
        let seen = |path: &PathBuf| {
            let (state, changed) = state(path);
            Seen { path: path.clone(), state, changed }
        };
        self.watched.iter().map(seen).collect()
    }

    /// What was found. An empty file is one only where it was empty before.
    fn found(&self, looked: &mut Taken) -> Look {
        let mut look = Look::new();
        for (path, result) in &mut looked.0 {
            let found = match result {
                Ok(content) => {
                    let found = Found::Content(content.digest());
                    let is_empty = content.trim_ascii().is_empty();
                    if is_empty && self.in_force.get(path) != Some(&found) {
                        *result = Err(Trouble::Empty);
                        Found::Trouble(Trouble::Empty)
                    } else {
                        found
                    }
                }
                Err(trouble) => Found::Trouble(trouble.clone()),
            };
            look.insert(path.clone(), found);
        }
        look
    }

    /// Files that the policy in force does not read may be as they like.
    fn is_in_force(&self, look: &Look) -> bool {
        self.in_force.iter().all(|(path, found)| look.get(path) == Some(found))
    }

    fn note(&mut self, now: Duration, look: &Look) {
        for (path, found) in look {
            let before = self.seen.get(path).map(|(found, _)| found);
            let before = before.or_else(|| self.in_force.get(path));
            match before {
                Some(before) if before == found => {
                    self.seen.entry(path.clone()).or_insert((found.clone(), None));
                }
                _ => {
                    self.seen.insert(path.clone(), (found.clone(), Some(now)));
                }
            }
        }
    }

    fn calm(&mut self) {
        self.candidate = None;
        self.unsettled = None;
        self.restless_said = false;
    }

    fn unsettled(&mut self, now: Duration) -> Outcome {
        let since = *self.unsettled.get_or_insert(now);
        let restless = !self.restless_said && now.saturating_sub(since) >= RESTLESS;
        self.restless_said |= restless;
        Outcome::Unsettled { restless }
    }
}

/// Files that change for so long will probably not settle by themselves.
const RESTLESS: Duration = Duration::from_secs(3);

fn keep(look: Look, paths: &BTreeSet<PathBuf>) -> Look {
    look.into_iter().filter(|(path, _)| paths.contains(path)).collect()
}

#[cfg(test)]
mod tests;
