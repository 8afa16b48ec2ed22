//! The stamp of a file, as Unix systems keep it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use super::stamp::Stamp;

/// The stamp of a file that is large, and was not written just now: times are as coarse as a tick of the
/// system, and a file may be written twice in one.
pub(super) fn stamp_of(metadata: &Metadata) -> Option<Stamp> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    stamp_at(metadata, i64::try_from(now.as_secs()).ok()?)
}

/// The same at this Unix time.
fn stamp_at(metadata: &Metadata, now: i64) -> Option<Stamp> {
    let last = metadata.mtime().max(metadata.ctime());
    let is_known =
        metadata.is_file() && metadata.len() >= LARGE && now.saturating_sub(last) > SETTLED_SECONDS;
    is_known.then(|| Stamp {
        length: metadata.len(),
        file: (metadata.dev(), metadata.ino()),
        times: [
            (metadata.mtime(), metadata.mtime_nsec()),
            (metadata.ctime(), metadata.ctime_nsec()),
        ],
    })
}

/// Smaller files are read at each look.
const LARGE: u64 = 1 << 20;

const SETTLED_SECONDS: i64 = 2;

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_large_file_that_was_left_alone_has_a_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let file = File::create(&path).unwrap();
        file.set_len(LARGE).unwrap();
        assert_eq!(stamp_of(&fs::metadata(&path).unwrap()), None, "it was written just now");
        // Whoever sets the time that it was written at changes it, and that has a time of its own.
        let past = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(past).unwrap();
        assert_eq!(stamp_of(&fs::metadata(&path).unwrap()), None);
        file.set_len(LARGE - 1).unwrap();
        assert_eq!(stamp_at(&fs::metadata(&path).unwrap(), i64::MAX), None, "it is small");
        file.set_len(LARGE).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        let stamp = stamp_at(&metadata, metadata.ctime() + 3).unwrap();
        assert_eq!(stamp_at(&metadata, metadata.ctime() + 4), Some(stamp.clone()));
        assert_eq!(stamp_at(&metadata, metadata.ctime() + 2), None);
        fs::write(folder.path().join("new"), vec![b' '; 1 << 20]).unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        let other = stamp_at(&fs::metadata(&path).unwrap(), i64::MAX).unwrap();
        assert_ne!(other, stamp, "it is another file");
    }
}
