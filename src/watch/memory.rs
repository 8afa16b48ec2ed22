//! Spares the reading of large files that did not change since they were read.
//!
//! A file of many keys has some hundred megabytes: to read it once a second would take a third of a core.
//! What says that it is as it was is its [`Stamp`]; because a file system may lie about that, the file is read
//! once a minute all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{Digest, Disk, Taken};
use super::stamp::Stamp;

/// What large files held when they were read last.
#[derive(Default)]
pub(super) struct Memory(BTreeMap<PathBuf, Known>);

struct Known {
    stamp: Stamp,
    digest: Digest,
    read: Duration,
}

impl Memory {
    /// Which of these files need not be read, with the digests of what they hold.
    pub(super) fn unchanged(
        &mut self,
        paths: &BTreeSet<PathBuf>,
        disk: &impl Disk,
        now: Duration,
    ) -> BTreeMap<PathBuf, Digest> {
        self.0.retain(|path, known| {
            let is_recent = now.saturating_sub(known.read) < READ_ANEW;
            is_recent && paths.contains(path) && disk.stamp(path).as_ref() == Some(&known.stamp)
        });
        self.0.iter().map(|(path, known)| (path.clone(), known.digest)).collect()
    }

    /// Reads all of these files.
    pub(super) fn read(
        &mut self,
        paths: &BTreeSet<PathBuf>,
        disk: &impl Disk,
        now: Duration,
    ) -> Taken {
        let stamp = |path: &PathBuf| Some((path.clone(), disk.stamp(path)?));
        let stamps: Vec<(PathBuf, Stamp)> = paths.iter().filter_map(stamp).collect();
        let taken = Taken::read(paths, disk);
        for (path, stamp) in stamps {
            self.note(&path, stamp, &taken, now);
        }
        taken
    }

    fn note(&mut self, path: &Path, stamp: Stamp, taken: &Taken, now: Duration) {
        let Ok(content) = taken.get(path) else { return };
        if content.len() as u64 == stamp.length && !content.trim_ascii().is_empty() {
            let digest = content.digest();
            self.0.insert(path.to_owned(), Known { stamp, digest, read: now });
        }
    }
}

/// How long a stamp is believed.
const READ_ANEW: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::super::disk::{Content, Trouble, digest_of};
    use super::*;

    /// One file, with the stamp that is given.
    struct OneFile {
        content: RefCell<&'static str>,
        stamp: RefCell<Option<Stamp>>,
        reads: Cell<usize>,
    }

    impl Disk for OneFile {
        fn read(&self, _: &Path, _: u64) -> Result<Content, Trouble> {
            self.reads.set(self.reads.get() + 1);
            let content = self.content.borrow().as_bytes().to_vec();
            Ok(Content::new(content.into()))
        }

        fn stamp(&self, _: &Path) -> Option<Stamp> {
            self.stamp.borrow().clone()
        }
    }

    fn stamp(length: u64, written: i64) -> Stamp {
        Stamp { length, file: (1, 2), times: [(written, 0), (written, 0)] }
    }

    #[test]
    fn a_file_is_read_again_when_its_stamp_changes_and_once_a_minute() {
        let disk = OneFile {
            content: RefCell::new("keys 1"),
            stamp: RefCell::new(Some(stamp(6, 1))),
            reads: Cell::default(),
        };
        let paths = BTreeSet::from([PathBuf::from("keys.toml")]);
        let mut memory = Memory::default();
        let at = Duration::from_secs;
        assert!(memory.unchanged(&paths, &disk, at(0)).is_empty(), "it was never read");
        memory.read(&paths, &disk, at(0));
        let expected = BTreeMap::from([(PathBuf::from("keys.toml"), digest_of(b"keys 1"))]);
        assert_eq!(memory.unchanged(&paths, &disk, at(59)), expected);
        assert_eq!(disk.reads.get(), 1);
        assert!(memory.unchanged(&paths, &disk, at(60)).is_empty(), "a minute has passed");

        memory.read(&paths, &disk, at(60));
        *disk.stamp.borrow_mut() = Some(stamp(6, 2));
        assert!(memory.unchanged(&paths, &disk, at(61)).is_empty(), "it was written");
        *disk.stamp.borrow_mut() = Some(stamp(6, 1));
        assert!(memory.unchanged(&paths, &disk, at(61)).is_empty(), "it is to be read first");

        memory.read(&paths, &disk, at(61));
        *disk.stamp.borrow_mut() = None;
        assert!(memory.unchanged(&paths, &disk, at(62)).is_empty(), "nothing is known of it");
        memory.read(&paths, &disk, at(62));
        *disk.stamp.borrow_mut() = Some(stamp(6, 1));
        assert!(memory.unchanged(&paths, &disk, at(63)).is_empty(), "nothing was known of it");

        // Written while it was read: the stamp is older than the content.
        *disk.content.borrow_mut() = "keys 10";
        memory.read(&paths, &disk, at(64));
        assert!(memory.unchanged(&paths, &disk, at(65)).is_empty());
        memory.read(&BTreeSet::new(), &disk, at(65));
        assert!(memory.unchanged(&BTreeSet::new(), &disk, at(65)).is_empty());
    }
}
