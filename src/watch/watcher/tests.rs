//! What is taken of changes, and when.

use std::cell::RefCell;
use std::fs;

use tempfile::TempDir;

use super::super::disk::{RealDisk, digest_of};
use super::*;

const SETTLE: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);

/// A folder with a policy and a key file, both in force, and a watcher driven by hand.
struct Rig {
    folder: TempDir,
    watcher: Watcher,
    now: Duration,
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy"), "policy 1").unwrap();
        fs::write(folder.path().join("keys"), "keys 1").unwrap();
        Self::of(folder)
    }

    fn of(folder: TempDir) -> Self {
        let paths = ["policy", "keys"].map(|name| folder.path().join(name));
        let in_force = Taken::read(&paths.into(), &RealDisk::new());
        Self { watcher: Watcher::new(&in_force, SETTLE), folder, now: SECOND }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn paths(&self, names: &[&str]) -> BTreeSet<PathBuf> {
        names.iter().map(|name| self.path(name)).collect()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn look_after(&mut self, wait: Duration) -> Outcome {
        self.now += wait;
        self.watcher.look(self.now, &RealDisk::new())
    }

    /// The outcome of the look that sees a change, and of the one that finds it settled.
    fn settle(&mut self) -> Outcome {
        self.unsettled(SECOND);
        self.look_after(SETTLE)
    }

    /// What was taken, as text; the trouble where there is one.
    fn taken(&mut self) -> [Result<String, Trouble>; 2] {
        let Outcome::Changed(taken) = self.settle() else { panic!("nothing is taken") };
        ["policy", "keys"].map(|name| {
            let text = taken.get(&self.path(name))?;
            Ok(String::from_utf8(text.to_vec()).unwrap())
        })
    }

    fn quiet(&mut self) {
        for _ in 0..3 {
            let outcome = self.look_after(SECOND);
            assert!(matches!(outcome, Outcome::Quiet), "{outcome:?}");
        }
    }

    fn unsettled(&mut self, wait: Duration) {
        let outcome = self.look_after(wait);
        assert!(matches!(outcome, Outcome::Unsettled { restless: false }), "{outcome:?}");
    }

    fn restored(&mut self) {
        let outcome = self.look_after(SECOND);
        assert!(matches!(outcome, Outcome::Restored), "{outcome:?}");
        self.quiet();
    }

    fn in_force(&mut self) {
        self.watcher.settle(Next::InForce(self.paths(&["policy", "keys"])));
        self.quiet();
    }

    fn refused(&mut self) {
        self.watcher.settle(Next::Refused(self.paths(&["policy", "keys"])));
        self.quiet();
    }
}

fn ok(policy: &str, keys: &str) -> [Result<String, Trouble>; 2] {
    [Ok(policy.into()), Ok(keys.into())]
}

#[test]
fn a_change_is_taken_once_when_two_looks_found_it_alike() {
    let mut rig = Rig::new();
    rig.quiet();
    rig.write("policy", "policy 2");
    rig.unsettled(SECOND);
    // Too early: not yet, and it costs no further wait.
    rig.unsettled(SETTLE - Duration::from_millis(1));
    let outcome = rig.look_after(Duration::from_millis(1));
    let Outcome::Changed(taken) = outcome else { panic!("{outcome:?}") };
    assert_eq!(taken.get(&rig.path("policy")).unwrap().as_slice(), b"policy 2");
    rig.in_force();
}

#[test]
fn all_files_are_taken_from_one_look() {
    let mut rig = Rig::new();
    rig.write("policy", "policy 2");
    rig.unsettled(SECOND);
    // The second file follows between the two looks: the whole settles anew.
    rig.write("keys", "keys 2");
    rig.unsettled(SETTLE);
    let Outcome::Changed(taken) = rig.look_after(SETTLE) else { panic!("not taken") };
    // What is written after the look is not in what it took.
    rig.write("keys", "keys 3");
    assert_eq!(taken.get(&rig.path("keys")).unwrap().as_slice(), b"keys 2");
    rig.watcher.settle(Next::InForce(rig.paths(&["policy", "keys"])));
    assert_eq!(rig.taken(), ok("policy 2", "keys 3"));
}

#[test]
fn a_file_renamed_over_is_a_change() {
    let mut rig = Rig::new();
    rig.write("policy.new", "policy 2");
    fs::rename(rig.path("policy.new"), rig.path("policy")).unwrap();
    assert_eq!(rig.taken(), ok("policy 2", "keys 1"));
    rig.in_force();
}

#[test]
fn the_same_content_in_another_file_is_no_change() {
    let mut rig = Rig::new();
    rig.write("policy.new", "policy 1");
    fs::rename(rig.path("policy.new"), rig.path("policy")).unwrap();
    rig.quiet();
}

#[test]
fn another_content_of_the_same_length_and_time_is_a_change() {
    let mut rig = Rig::new();
    let time = fs::metadata(rig.path("keys")).unwrap().modified().unwrap();
    rig.write("keys", "keys 2");
    fs::File::options().write(true).open(rig.path("keys")).unwrap().set_modified(time).unwrap();
    assert_eq!(rig.taken(), ok("policy 1", "keys 2"));
}

#[cfg(unix)]
#[test]
fn a_link_pointed_elsewhere_is_one_change_of_all_files() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // As Kubernetes mounts a ConfigMap: policy -> ..data/policy, ..data -> ..1.
    for version in ["1", "2"] {
        fs::create_dir(at(&format!("..{version}"))).unwrap();
        for name in ["policy", "keys"] {
            let text = format!("{name} {version}");
            fs::write(at(&format!("..{version}/{name}")), text).unwrap();
        }
    }
    symlink("..1", at("..data")).unwrap();
    for name in ["policy", "keys"] {
        symlink(format!("..data/{name}"), at(name)).unwrap();
    }
    let mut rig = Rig::of(folder);
    rig.quiet();
    symlink("..2", rig.path("..data_tmp")).unwrap();
    fs::rename(rig.path("..data_tmp"), rig.path("..data")).unwrap();
    fs::remove_dir_all(rig.path("..1")).unwrap();
    assert_eq!(rig.taken(), ok("policy 2", "keys 2"));
    rig.in_force();
}

#[test]
fn a_file_that_is_missing_for_a_moment_is_not_missed() {
    let mut rig = Rig::new();
    fs::remove_file(rig.path("policy")).unwrap();
    rig.unsettled(SECOND);
    rig.write("policy", "policy 1");
    rig.quiet();
}

#[test]
fn a_file_that_stays_away_is_reported_once_and_so_is_its_return() {
    let mut rig = Rig::new();
    fs::remove_file(rig.path("keys")).unwrap();
    assert_eq!(rig.taken(), [Ok("policy 1".into()), Err(Trouble::Missing)]);
    rig.refused();
    rig.write("keys", "keys 1");
    rig.restored();
    // And again: it is reported each time.
    fs::remove_file(rig.path("keys")).unwrap();
    assert_eq!(rig.taken(), [Ok("policy 1".into()), Err(Trouble::Missing)]);
    rig.refused();
    rig.write("keys", "keys 2");
    assert_eq!(rig.taken(), ok("policy 1", "keys 2"));
    rig.in_force();
}

#[test]
fn a_policy_that_names_the_missing_file_no_more_is_taken() {
    let mut rig = Rig::new();
    fs::remove_file(rig.path("keys")).unwrap();
    assert!(matches!(rig.settle(), Outcome::Changed(_)));
    rig.refused();
    rig.write("policy", "policy 2, without keys");
    assert_eq!(rig.taken(), [Ok("policy 2, without keys".into()), Err(Trouble::Missing)]);
    rig.watcher.settle(Next::InForce(rig.paths(&["policy"])));
    rig.quiet();
    rig.write("keys", "watched no more");
    rig.quiet();
    assert_eq!(rig.watcher.seen().len(), 1);
}

#[test]
fn an_empty_file_is_not_taken() {
    let mut rig = Rig::new();
    rig.write("keys", "");
    assert_eq!(rig.taken(), [Ok("policy 1".into()), Err(Trouble::Empty)]);
    rig.refused();
    rig.write("keys", " \n");
    // Another way to be empty is the same state: it is not reported again.
    rig.quiet();
    rig.write("keys", "# none");
    assert_eq!(rig.taken(), ok("policy 1", "# none"));
}

#[test]
fn a_file_that_was_empty_when_the_gate_opened_may_stay_so() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy"), "policy 1").unwrap();
    fs::write(folder.path().join("keys"), "").unwrap();
    let mut rig = Rig::of(folder);
    rig.quiet();
    rig.write("policy", "policy 2");
    assert_eq!(rig.taken(), ok("policy 2", ""));
}

#[test]
fn a_half_written_file_is_taken_when_it_is_whole() {
    let mut rig = Rig::new();
    rig.write("policy", "poli");
    rig.unsettled(SECOND);
    rig.write("policy", "policy");
    rig.unsettled(SETTLE);
    rig.write("policy", "policy 2");
    rig.unsettled(SETTLE);
    let Outcome::Changed(taken) = rig.look_after(SETTLE) else { panic!("not taken") };
    assert_eq!(taken.get(&rig.path("policy")).unwrap().as_slice(), b"policy 2");
}

#[test]
fn of_two_quick_changes_the_last_is_taken() {
    let mut rig = Rig::new();
    rig.write("policy", "policy 2");
    rig.write("policy", "policy 3");
    assert_eq!(rig.taken(), ok("policy 3", "keys 1"));
    // One that comes while the first is loaded.
    rig.write("policy", "policy 4");
    rig.watcher.settle(Next::InForce(rig.paths(&["policy", "keys"])));
    assert_eq!(rig.taken(), ok("policy 4", "keys 1"));
    rig.in_force();
}

#[test]
fn a_file_that_changes_back_is_no_change() {
    let mut rig = Rig::new();
    rig.write("policy", "policy 2");
    rig.unsettled(SECOND);
    rig.write("policy", "policy 1");
    rig.quiet();
    // Nor is what was seen before counted for what comes later.
    rig.write("policy", "policy 2");
    rig.unsettled(SECOND);
}

#[test]
fn a_refused_change_is_reported_once_and_its_end_is_reported() {
    let mut rig = Rig::new();
    rig.write("policy", "faulty");
    assert_eq!(rig.taken(), ok("faulty", "keys 1"));
    rig.refused();
    rig.write("policy", "policy 1");
    rig.restored();
    rig.write("policy", "faulty");
    assert_eq!(rig.taken(), ok("faulty", "keys 1"));
}

#[test]
fn what_cannot_be_read_is_reported_once() {
    let mut rig = Rig::new();
    fs::remove_file(rig.path("keys")).unwrap();
    fs::create_dir(rig.path("keys")).unwrap();
    assert_eq!(rig.taken(), [Ok("policy 1".into()), Err(Trouble::Directory)]);
    rig.refused();
    fs::remove_dir(rig.path("keys")).unwrap();
    rig.write("keys", "keys 1");
    rig.restored();
}

#[test]
fn a_file_above_the_bound_is_not_taken() {
    let mut rig = Rig::new();
    // Sparse: it takes no room on the disk.
    fs::File::create(rig.path("keys")).unwrap().set_len((1 << 30) + 1).unwrap();
    let too_large = Trouble::TooLarge { most: 1 << 30 };
    assert_eq!(rig.taken(), [Ok("policy 1".into()), Err(too_large)]);
    rig.refused();
}

/// A disk that refuses one file, as one whose permissions were lost. Root may read all.
struct Forbidding<'a>(&'a Path, RefCell<u32>);

impl Disk for Forbidding<'static> {
    fn read(&self, path: &Path, most: u64) -> Result<Content, Trouble> {
        *self.1.borrow_mut() += 1;
        if path.file_name() == self.0.file_name() {
            return Err(std::io::Error::from(std::io::ErrorKind::PermissionDenied).into());
        }
        RealDisk::new().read(path, most)
    }
}

#[test]
fn lost_permissions_are_reported_once_and_leave_what_is_in_force() {
    let mut rig = Rig::new();
    let disk = Forbidding(Path::new("keys"), RefCell::new(0));
    let first = rig.watcher.look(SECOND, &disk);
    assert!(matches!(first, Outcome::Unsettled { .. }), "{first:?}");
    let Outcome::Changed(taken) = rig.watcher.look(SECOND * 2, &disk) else {
        panic!("not reported")
    };
    let trouble = Trouble::Unreadable("permission denied".into());
    assert_eq!(taken.get(&rig.path("keys")), Err(trouble.clone()));
    rig.watcher.settle(Next::Refused(rig.paths(&["policy", "keys"])));
    assert!(matches!(rig.watcher.look(SECOND * 3, &disk), Outcome::Quiet));
    assert_eq!(*disk.1.borrow(), 6, "every look reads both files");
    let seen = rig.watcher.seen();
    assert_eq!(seen[0].state, SeenState::Trouble(trouble));
    assert_eq!(seen[0].changed, Some(SECOND));
    assert_eq!((&seen[1].state, seen[1].changed), (&SeenState::InForce, None));
    rig.now = SECOND * 3;
    rig.restored();
}

#[test]
fn files_that_a_new_policy_names_are_looked_at_before_it_is_loaded() {
    let mut rig = Rig::new();
    rig.write("policy", "policy 2, with more");
    rig.write("more", "more 1");
    assert!(matches!(rig.settle(), Outcome::Changed(_)));
    rig.watcher.settle(Next::Also(rig.paths(&["more"])));
    rig.unsettled(Duration::ZERO);
    let Outcome::Changed(taken) = rig.look_after(SETTLE) else { panic!("not taken") };
    assert_eq!(taken.get(&rig.path("more")).unwrap().as_slice(), b"more 1");
    rig.watcher.settle(Next::InForce(rig.paths(&["policy", "more"])));
    rig.quiet();
    rig.write("more", "more 2");
    assert!(matches!(rig.settle(), Outcome::Changed(_)));
}

#[test]
fn a_loader_that_wants_what_it_has_is_not_asked_for_ever() {
    let mut rig = Rig::new();
    rig.write("policy", "policy 2");
    assert!(matches!(rig.settle(), Outcome::Changed(_)));
    rig.watcher.settle(Next::Also(rig.paths(&["policy"])));
    rig.quiet();
}

#[test]
fn files_of_a_refused_policy_are_watched_until_it_is_gone() {
    let mut rig = Rig::new();
    rig.write("policy", "policy 2, with more");
    assert!(matches!(rig.settle(), Outcome::Changed(_)));
    rig.watcher.settle(Next::Also(rig.paths(&["more"])));
    assert!(matches!(rig.settle(), Outcome::Changed(_)));
    rig.watcher.settle(Next::Refused(rig.paths(&["policy", "keys", "more"])));
    rig.quiet();
    // The file that was missing is there now: the policy is tried again.
    rig.write("more", "more 1");
    assert!(matches!(rig.settle(), Outcome::Changed(_)));
    rig.watcher.settle(Next::Refused(rig.paths(&["policy", "keys", "more"])));
    rig.write("policy", "policy 1");
    rig.restored();
    rig.write("more", "watched no more");
    rig.quiet();
}

#[test]
fn what_was_read_before_a_reload_by_hand_is_not_judged() {
    let mut rig = Rig::new();
    rig.write("policy", "policy 2");
    rig.unsettled(SECOND);
    let round = rig.watcher.round();
    let old = Taken::read(&round.paths, &RealDisk::new());
    rig.write("policy", "policy 3");
    let read = Taken::read(&round.paths, &RealDisk::new());
    rig.watcher.reloaded(rig.now, &read, Next::InForce(read.paths()));
    let seen = rig.watcher.seen();
    let [(keys, _), (policy, since)] = [0, 1].map(|file| (&seen[file].state, seen[file].changed));
    assert_eq!((keys, policy), (&SeenState::InForce, &SeenState::InForce));
    assert_eq!(since, Some(rig.now), "it changed, though no look has seen it yet");
    let outcome = rig.watcher.judge(rig.now + SETTLE, &round, old);
    assert!(matches!(outcome, Outcome::Unsettled { .. }), "{outcome:?}");
    rig.quiet();
    // One that is refused by hand is not reported a second time.
    rig.write("policy", "faulty");
    let read = Taken::read(&round.paths, &RealDisk::new());
    rig.watcher.reloaded(rig.now, &read, Next::Refused(read.paths()));
    rig.quiet();
}

#[test]
fn files_that_never_settle_are_reported_once() {
    let mut rig = Rig::new();
    let mut reports = 0;
    for n in 0..100 {
        rig.write("policy", &format!("line {n}"));
        let outcome = rig.look_after(SETTLE);
        let Outcome::Unsettled { restless } = outcome else { panic!("{outcome:?}") };
        reports += u32::from(restless);
    }
    assert_eq!(reports, 1);
}

#[test]
fn what_a_reload_by_hand_refused_is_not_handed_on_again() {
    let mut rig = Rig::new();
    let by_hand = |rig: &mut Rig| {
        // The load ends with the policy: the keys are not read.
        let read = Taken::read(&rig.paths(&["policy"]), &RealDisk::new());
        rig.watcher.reloaded(rig.now, &read, Next::Refused(read.paths()));
    };
    for text in ["faulty", " \n"] {
        rig.write("policy", text);
        by_hand(&mut rig);
        rig.quiet();
        rig.quiet();
    }
    fs::remove_file(rig.path("policy")).unwrap();
    by_hand(&mut rig);
    rig.quiet();
    // What was not read may have changed too: that is another thing.
    rig.write("keys", "keys 2");
    rig.unsettled(SECOND);
    rig.write("keys", "keys 1");
    rig.write("policy", "policy 1");
    assert!(matches!(rig.look_after(SECOND), Outcome::Restored));
}

#[test]
fn files_that_were_not_read_count_as_what_they_held() {
    let mut rig = Rig::new();
    let unread = |text: &str| BTreeMap::from([(rig.path("keys"), digest_of(text.as_bytes()))]);
    let (same, other) = (unread("keys 1"), unread("keys 2"));
    let looked = |rig: &Rig| Taken::read(&rig.paths(&["policy"]), &RealDisk::new());
    let judge = |rig: &mut Rig, unread: &BTreeMap<_, _>| {
        let (round, looked) = (rig.watcher.round(), looked(rig));
        rig.watcher.judge_unread(rig.now, &round, looked, unread.clone())
    };
    let is_unsettled = |outcome| matches!(outcome, Some(Outcome::Unsettled { restless: false }));
    assert!(matches!(judge(&mut rig, &same), Some(Outcome::Quiet)));
    assert!(is_unsettled(judge(&mut rig, &other)));
    assert!(matches!(judge(&mut rig, &same), Some(Outcome::Quiet)));
    rig.write("policy", "policy 2");
    assert!(is_unsettled(judge(&mut rig, &same)));
    rig.now += SETTLE;
    assert!(judge(&mut rig, &same).is_none(), "all is to be read before it is handed on");
    let Outcome::Changed(taken) = rig.look_after(Duration::ZERO) else { panic!("not settled") };
    assert_eq!(taken.get(&rig.path("keys")).unwrap().as_slice(), b"keys 1");
    rig.refused();
    // What was refused is not handed on again, and needs no reading either.
    assert!(matches!(judge(&mut rig, &same), Some(Outcome::Quiet)));
    rig.write("policy", "policy 1");
    assert!(matches!(judge(&mut rig, &same), Some(Outcome::Restored)));
    let stale = rig.watcher.round();
    rig.write("policy", "policy 3");
    assert_eq!(rig.taken(), ok("policy 3", "keys 1"));
    rig.in_force();
    let judged = rig.watcher.judge_unread(rig.now, &stale, looked(&rig), same);
    assert!(is_unsettled(judged), "it was looked at before another policy was in force");
}
